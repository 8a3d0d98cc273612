# Linux on 64-bit Arm. Tests run under qemu's user emulation where it is installed.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

find_program(QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
if(QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${QEMU_AARCH64};-L;/usr/aarch64-linux-gnu")
  # All features but SME, with which qemu 7.2 and XNNPACK give other products. Before 7.1 it has none.
  execute_process(COMMAND ${QEMU_AARCH64} --version OUTPUT_VARIABLE qemu_version)
  string(REGEX MATCH "[0-9]+\\.[0-9]+" qemu_version "${qemu_version}")
  if(qemu_version VERSION_GREATER_EQUAL 7.1)
    list(APPEND CMAKE_CROSSCOMPILING_EMULATOR -cpu "max,sme=off")
  endif()
endif()
