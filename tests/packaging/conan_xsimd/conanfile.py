"""Debian's xsimd as a package of Conan, for a machine that reaches no Conan server: what packaging/conan asks for."""
import os

from conan import ConanFile
from conan.tools.files import copy


class Xsimd(ConanFile):
    name = "xsimd"
    package_type = "header-library"
    options = {"headers": ["ANY"]}  # the folder that has xsimd/xsimd.hpp

    def package(self):
        copy(self, "xsimd/*", str(self.options.headers), os.path.join(self.package_folder, "include"))

    def package_id(self):
        self.info.clear()

    def package_info(self):
        self.cpp_info.bindirs = self.cpp_info.libdirs = []
