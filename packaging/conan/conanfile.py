"""pith for Conan 2, from the tree that this file lies in: conan create packaging/conan --build=missing"""
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir

ROOT = os.path.join("..", "..")
SOURCES = ("CMakeLists.txt", "LICENSE", "NOTICE", "sbom.spdx.json", "cmake/*", "include/*", "packaging/*", "simd/*", "src/*",
           "system/*")


class Pith(ConanFile):
    name = "pith"
    license = "Apache-2.0"
    description = "CPU inference for language models that cache a latent per token"
    topics = ("inference", "language-model", "cpu")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "openmp": [True, False]}
    default_options = {"shared": False, "openmp": False}

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, ROOT, "CMakeLists.txt"))
        self.version = re.search(r"project\(pith VERSION ([0-9.]+)", text).group(1)

    def export_sources(self):
        for pattern in SOURCES:
            copy(self, pattern, os.path.join(self.recipe_folder, ROOT), self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def validate(self):
        if self.settings.compiler == "msvc":
            raise ConanInvalidConfiguration("pith is compiled by GCC and Clang; on Windows, by MinGW")

    def requirements(self):
        # Headers of the library's own sources: whoever links it does not see them.
        if str(self.settings.arch) in ("x86_64", "armv8"):
            self.requires("xsimd/[>=8.1 <15]", headers=True, libs=False, visible=False)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables.update({
            "PITH_TOOLS": False, "PITH_TESTS": False, "PITH_WERROR": False, "PITH_INSTALL": True,
            "PITH_INSTALL_KINDS": "shared" if self.options.shared else "static", "PITH_OPENMP": bool(self.options.openmp)})
        if "xsimd" in self.dependencies:
            toolchain.cache_variables["PITH_XSIMD_INCLUDE"] = self.dependencies["xsimd"].cpp_info.includedirs[0]
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "NOTICE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))  # Conan's generators write their own, of package_info
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))
        rmdir(self, os.path.join(self.package_folder, "share"))

    def package_info(self):
        self.cpp_info.libs = ["pith"]
        self.cpp_info.set_property("cmake_file_name", "pith")
        self.cpp_info.set_property("cmake_target_name", "pith::pith")
        self.cpp_info.set_property("pkg_config_name", "pith")
        if self.settings.os in ("Linux", "FreeBSD", "Android"):
            self.cpp_info.system_libs = ["m"] if self.settings.os == "Android" else ["m", "pthread"]
        if self.options.openmp and not self.options.shared:
            self.cpp_info.sharedlinkflags = self.cpp_info.exelinkflags = ["-fopenmp"]
