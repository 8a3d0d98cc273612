"""Sizes of ExecuTorch's portable kernels: all, those of a program, and with its types only.

python benchmarks/selective_build_size.py SOURCES BUNDLE   15 minutes of one core, g++

SOURCES is a checkout of ExecuTorch of the wheel's version. Its kernels are compiled as its own
selective build compiles them (-Os, a section for each function), registered by its code generator,
and linked to a library of their own against the wheel's runtime, without unused code. With
--check a step of the program runs with each library, beside XNNPACK and the wheel's quantized
kernels: it must need no others.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import executorch
import torchgen
from executorch.codegen.tools.gen_oplist import gen_oplist
from executorch.codegen.tools.gen_selected_op_variants import write_selected_op_variants

from runtime_py.bundle import Bundle

WHEEL = Path(executorch.__path__[0])
ATEN = Path(torchgen.__path__[0]) / "packaged" / "ATen" / "native"
FLAGS = [
    "-std=c++17", "-Os", "-fPIC", "-ffunction-sections", "-fdata-sections", "-w",
    "-DC10_USING_CUSTOM_GENERATED_MACROS",
]  # fmt: skip
REGISTRATION = "RegisterCodegenUnboxedKernelsEverything.cpp"
STEP = """
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <cstdio>
using namespace executorch::extension;
int main(int, char** arguments) {
  Module module(arguments[1], Module::LoadMode::Mmap);
  auto token = make_tensor_ptr({1, 1}, std::vector<int64_t>{5});
  auto position = make_tensor_ptr({1}, std::vector<int64_t>{0});
  auto found = module.forward({token, position});
  if (!found.ok()) return printf("error %d\\n", (int)found.error()), 1;
  printf("first logit %f\\n", found->at(0).toTensor().const_data_ptr<float>()[0]);
}
"""


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))[:400]}\n{done.stderr[-2000:]}")
    return done.stdout


def selection(folder: Path, program: Path | None) -> Path:
    """selected_operators.yaml of a program, or of all operators."""
    file = folder / "selected_operators.yaml"
    if program is None:
        gen_oplist(file, include_all_operators=True)
    else:
        gen_oplist(file, model_file_path=str(program))
    return file


def compiled(folder: Path, sources: Path, files: list[Path], *flags: str) -> list[Path]:
    objects = []
    for file in files:
        out = folder / f"{file.stem}.o"
        if not out.exists():
            # The wheel's headers are those of the runtime that is linked.
            run("g++", *FLAGS, *flags, f"-I{folder}", f"-I{WHEEL / 'include'}",
                f"-I{sources.parent}", "-I" + str(
                    WHEEL / "include/executorch/runtime/core/portable_type/c10"),
                "-c", file, "-o", out)  # fmt: skip
        objects.append(out)
    return objects


def needed(registration: Path, files: list[Path]) -> list[Path]:
    """The sources that define a kernel which is registered, and those that these use."""
    found = run("nm", "-uC", registration)
    names = set(re.findall(r"torch::executor::native::(\w+)\(", found))
    define = re.compile(rf"\b({'|'.join(names)})\b")
    return [f for f in files if f.parent.name != "cpu" or define.search(f.read_text())]


def library(
    folder: Path, sources: Path, files: list[Path], program: Path | None, *flags: str
) -> Path:
    """A stripped library of the kernels that are registered for a program."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = selection(folder, program)
    write_selected_op_variants(str(chosen), str(folder))
    run(sys.executable, "-m", "executorch.codegen.gen", f"--source-path={sources / 'codegen'}",
        f"--install-dir={folder}", f"--tags-path={ATEN / 'tags.yaml'}",
        f"--aten-yaml-path={ATEN / 'native_functions.yaml'}",
        f"--op-selection-yaml-path={chosen}",
        f"--functions-yaml-path={sources / 'kernels/portable/functions.yaml'}")  # fmt: skip
    (registration,) = compiled(folder, sources, [folder / REGISTRATION], *flags)
    kernels = folder if flags else folder.parent / "kernels"
    kernels.mkdir(exist_ok=True)
    archive = folder / "libkernels.a"
    wanted = files if program is None else needed(registration, files)
    run("ar", "rcs", archive, *compiled(kernels, sources, wanted, *flags))
    hidden = folder / "exports"
    hidden.write_text("{ local: *; };")
    out = folder / "libselected.so"
    run("g++", "-shared", "-Wl,--gc-sections", f"-Wl,--version-script={hidden}", registration,
        archive, f"-L{WHEEL / 'lib'}", "-lexecutorch", "-lexecutorch_threadpool",
        f"-Wl,-rpath,{WHEEL / 'lib'}", "-o", out)  # fmt: skip
    run("strip", out)
    return out


def step(folder: Path, selected: Path, program: Path) -> str:
    """What a step of the program prints in an app with these kernels."""
    (folder / "step.cpp").write_text(STEP)
    run("g++", *FLAGS, f"-I{WHEEL / 'include'}",
        "-I" + str(WHEEL / "include/executorch/runtime/core/portable_type/c10"),
        folder / "step.cpp", "-Wl,--no-as-needed", selected, f"-L{WHEEL / 'lib'}", "-lexecutorch",
        "-lexecutorch_backend_xnnpack", "-lexecutorch_kernels_quantized",
        "-lexecutorch_threadpool", f"-Wl,-rpath,{WHEEL / 'lib'}:{selected.parent}",
        "-o", folder / "step")  # fmt: skip
    return run(folder / "step", program).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, help="a folder named executorch")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--work", type=Path, default=Path("selective_build"), help="kept")
    parser.add_argument("--check", action="store_true", help="run a step of the program")
    args = parser.parse_args()
    sources, work = args.sources.absolute(), args.work.absolute()
    program = Bundle.open(args.bundle).file("program")
    assert program is not None
    portable = sources / "kernels" / "portable" / "cpu"
    files = sorted(portable.glob("*.cpp")) + sorted(portable.glob("util/*.cpp"))
    files += sorted(portable.glob("pattern/*.cpp"))
    by_types = "-DEXECUTORCH_SELECTIVE_BUILD_DTYPE=1"
    found = {
        "operators and types": library(work / "types", sources, files, program, by_types),
        "operators": library(work / "operators", sources, files, program),
        "all": library(work / "all", sources, files, None),
    }
    for name, out in found.items():
        print(f"{name:<20} {out.stat().st_size:>10,} bytes")
    if args.check:
        for name, out in found.items():
            print(f"{name:<20} {step(work, out, program)}")


if __name__ == "__main__":
    main()
