// swift-tools-version:5.9
import PackageDescription

let package = Package(
  name: "Story",
  platforms: [.macOS(.v12)],
  dependencies: [.package(name: "Pith", path: "../../../bindings/swift")],
  targets: [.executableTarget(name: "Story", dependencies: ["Pith"])]
)
