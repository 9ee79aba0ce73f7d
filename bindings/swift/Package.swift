// swift-tools-version:5.9
import PackageDescription

let package = Package(
  name: "Pith",
  platforms: [.macOS(.v12), .iOS(.v15)],
  products: [.library(name: "Pith", targets: ["Pith"])],
  targets: [
    .systemLibrary(name: "CPith", pkgConfig: "pith"),  // the installed library; README.md says how it gets there
    .target(name: "Pith", dependencies: ["CPith"]),
    .testTarget(name: "PithTests", dependencies: ["Pith"]),
  ]
)
