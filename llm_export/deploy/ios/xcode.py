"""project.pbxproj of an app with Swift packages, as an XML property list, which Xcode reads as well
as its own notation."""

from __future__ import annotations

import hashlib
import plistlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_Object = dict[str, Any]
_FORMAT = "56"
"""Of Xcode 14 and later."""
_IOS = "17.0"
"""Of ExecuTorch's package."""


@dataclass(frozen=True)
class XcodeApp:
    """
    Attributes:
        sources: Swift files, relative to the project.
        folders: folders that the app contains as they are.
        package: URL of a Swift package.
        branch: of it.
        products: of it, all linked.
    """

    name: str
    identifier: str
    sources: Sequence[str]
    folders: Sequence[str]
    package: str
    branch: str
    products: Sequence[str]


def project_file(app: XcodeApp) -> bytes:
    objects: dict[str, _Object] = {}

    def add(what: str, isa: str, **values: Any) -> str:
        key = hashlib.sha256(f"{isa} {what}".encode()).hexdigest()[:24].upper()
        assert key not in objects
        objects[key] = {"isa": isa, **values}
        return key

    sources = {s: add(s, "PBXFileReference", **_source(s)) for s in app.sources}
    folders = {
        f: add(f, "PBXFileReference", lastKnownFileType="folder", path=f, sourceTree="SOURCE_ROOT")
        for f in app.folders
    }
    product = add(
        "app", "PBXFileReference", explicitFileType="wrapper.application", includeInIndex="0",
        path=f"{app.name}.app", sourceTree="BUILT_PRODUCTS_DIR",
    )  # fmt: skip
    package = add(
        "package", "XCRemoteSwiftPackageReference", repositoryURL=app.package,
        requirement={"kind": "branch", "branch": app.branch},
    )  # fmt: skip
    linked = {
        name: add(name, "XCSwiftPackageProductDependency", package=package, productName=name)
        for name in app.products
    }

    def phase(isa: str, entries: Mapping[str, str], key: str = "fileRef") -> str:
        files = [add(name, "PBXBuildFile", **{key: ref}) for name, ref in entries.items()]
        return add(
            isa, isa, buildActionMask="2147483647", files=files,
            runOnlyForDeploymentPostprocessing="0",
        )  # fmt: skip

    def configurations(of: str, shared: Mapping[str, Any], debug: Mapping[str, Any]) -> str:
        release = add(f"{of} Release", "XCBuildConfiguration", name="Release",
                      buildSettings=dict(shared))  # fmt: skip
        other = add(f"{of} Debug", "XCBuildConfiguration", name="Debug",
                    buildSettings={**shared, **debug})  # fmt: skip
        return add(
            of, "XCConfigurationList", buildConfigurations=[other, release],
            defaultConfigurationIsVisible="0", defaultConfigurationName="Release",
        )  # fmt: skip

    target = add(
        "app", "PBXNativeTarget", name=app.name, productName=app.name, productReference=product,
        productType="com.apple.product-type.application", buildRules=[], dependencies=[],
        buildPhases=[
            phase("PBXSourcesBuildPhase", sources),
            phase("PBXFrameworksBuildPhase", linked, "productRef"),
            phase("PBXResourcesBuildPhase", folders),
        ],
        packageProductDependencies=list(linked.values()),
        buildConfigurationList=configurations("target", _target_settings(app), {}),
    )  # fmt: skip
    products = add("products", "PBXGroup", name="Products", children=[product],
                   sourceTree="<group>")  # fmt: skip
    main = add("main", "PBXGroup", sourceTree="<group>",
               children=[*sources.values(), *folders.values(), products])  # fmt: skip
    root = add(
        "project", "PBXProject", attributes={"LastUpgradeCheck": "1500"},
        buildConfigurationList=configurations("project", _SETTINGS, _DEBUG),
        compatibilityVersion="Xcode 14.0", developmentRegion="en", hasScannedForEncodings="0",
        knownRegions=["en", "Base"], mainGroup=main, productRefGroup=products,
        packageReferences=[package], projectDirPath="", projectRoot="", targets=[target],
    )  # fmt: skip
    return plistlib.dumps({
        "archiveVersion": "1", "classes": {}, "objectVersion": _FORMAT, "objects": objects,
        "rootObject": root,
    })  # fmt: skip


def _source(path: str) -> _Object:
    return {
        "lastKnownFileType": "sourcecode.swift", "path": path, "name": path.rsplit("/", 1)[-1],
        "sourceTree": "SOURCE_ROOT",
    }  # fmt: skip


_SETTINGS = {
    "ALWAYS_SEARCH_USER_PATHS": "NO",
    "CLANG_ENABLE_OBJC_ARC": "YES",
    "IPHONEOS_DEPLOYMENT_TARGET": _IOS,
    "SDKROOT": "iphoneos",
    "SWIFT_COMPILATION_MODE": "wholemodule",
}
_DEBUG = {
    "ENABLE_TESTABILITY": "YES",
    "ONLY_ACTIVE_ARCH": "YES",
    "SWIFT_ACTIVE_COMPILATION_CONDITIONS": "DEBUG",
    "SWIFT_COMPILATION_MODE": "singlefile",
    "SWIFT_OPTIMIZATION_LEVEL": "-Onone",
}


def _target_settings(app: XcodeApp) -> _Object:
    sides = " ".join(f"UIInterfaceOrientation{side}" for side in
                     ("Portrait", "LandscapeLeft", "LandscapeRight"))  # fmt: skip
    return {
        "CODE_SIGN_STYLE": "Automatic",
        "CURRENT_PROJECT_VERSION": "1",
        # The package's binaries are for arm64 alone.
        "EXCLUDED_ARCHS[sdk=iphonesimulator*]": "x86_64",
        "GENERATE_INFOPLIST_FILE": "YES",
        "INFOPLIST_KEY_CFBundleDisplayName": app.name,
        "INFOPLIST_KEY_UIApplicationSceneManifest_Generation": "YES",
        "INFOPLIST_KEY_UILaunchScreen_Generation": "YES",
        "INFOPLIST_KEY_UISupportedInterfaceOrientations": sides,
        "MARKETING_VERSION": "1.0",
        # Backends and operators register themselves; nothing refers to them.
        "OTHER_LDFLAGS": ["$(inherited)", "-all_load"],
        "PRODUCT_BUNDLE_IDENTIFIER": app.identifier,
        "PRODUCT_NAME": "$(TARGET_NAME)",
        "SWIFT_VERSION": "5.0",
        "TARGETED_DEVICE_FAMILY": "1,2",
    }
