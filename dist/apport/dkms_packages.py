#!/usr/bin/env python3
"""Files an apport report about a module that did not build; dkms calls it on failure.

Exits with 0 when a report was written or exists, 1 when there is nobody to report to,
2 on wrong usage, 3 when the package has no known source package.
"""

import argparse
import pathlib
import re
import sys

import apport
import apport.fileutils
from apport.hookutils import attach_file_if_exists
from apport.packaging_impl import impl as packaging


def give_up(code, reason):
    """Ends the program with a word on why there is no report."""
    print(f"ERROR (dkms apport): {reason}", file=sys.stderr)
    sys.exit(code)


def is_of_distribution(package):
    """Whether the distribution has a package; one that is not known is not."""
    try:
        return packaging.is_distro_package(package)
    except ValueError:
        return False


def main():
    """Reads the command line and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", dest="module", metavar="MODULE")
    parser.add_argument("-v", dest="version", metavar="VERSION")
    parser.add_argument("-k", dest="kernel", metavar="KERNEL")
    options = parser.parse_args()
    module, module_version, kernel = options.module, options.version, options.kernel
    if not module or not module_version:
        give_up(2, "both -m and -v are required")

    package = packaging.get_file_package(f"/usr/src/{module}-{module_version}")
    if package is None:
        give_up(1, f"binary package for {module}: {module_version} not found")
    if kernel and not is_of_distribution(f"linux-headers-{kernel}"):
        give_up(1, f"kernel package linux-headers-{kernel} is not supported")
    try:
        source = packaging.get_source(package)
    except ValueError:
        give_up(3, f"unable to determine source package for {package}")
    try:
        version = packaging.get_version(package) or "(not installed)"
    except ValueError:
        version = "(not installed)"

    report = apport.Report("Package")
    report["Package"] = f"{package} {version}"
    report["PackageVersion"] = version
    report["SourcePackage"] = source
    report["Title"] = f"{package} {version}: {module} kernel module failed to build"
    if kernel:
        report["DKMSKernelVersion"] = kernel
    log = pathlib.Path("/var/lib/dkms", module, module_version, "build", "make.log")
    attach_file_if_exists(report, str(log), "DKMSBuildLog")
    text = report.get("DKMSBuildLog", "")
    if "Segmentation fault" in text:
        give_up(1, "the compiler crashed, which is not the module's fault")
    error = re.search(r"^.*: error:.*$", text, re.MULTILINE)
    if error:
        report["DuplicateSignature"] = f"dkms:{package}:{version}:{error[0].strip()}"

    try:
        with apport.fileutils.make_report_file(report) as file:
            report.write(file)
    except FileExistsError:
        pass
    except OSError as error:
        give_up(1, f"cannot write the report: {error}")


if __name__ == "__main__":
    main()
