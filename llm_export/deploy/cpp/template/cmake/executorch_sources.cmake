# ExecuTorch built from its source tree, with the operators and the runner of LLMs.

cmake_minimum_required(VERSION 3.24) # ExecuTorch's own

set(preset ${EXECUTORCH_SOURCES}/tools/cmake/preset/llm.cmake)
if(NOT EXISTS ${preset})
  message(FATAL_ERROR "${EXECUTORCH_SOURCES} is no ExecuTorch source tree\n"
                      "  fix: git clone --recursive https://github.com/pytorch/executorch")
endif()
set(EXECUTORCH_BUILD_PRESET_FILE ${preset} CACHE FILEPATH "")
add_subdirectory(${EXECUTORCH_SOURCES} executorch EXCLUDE_FROM_ALL)

set(EXECUTORCH_SHARED_LIBRARIES)
add_library(executorch_for_llm INTERFACE)
target_link_libraries(executorch_for_llm INTERFACE
  executorch executorch::backends executorch::extensions executorch::kernels extension_threadpool)
if(TARGET custom_ops)
  # Operators register themselves: nothing refers to them.
  target_link_libraries(executorch_for_llm INTERFACE $<LINK_LIBRARY:WHOLE_ARCHIVE,custom_ops>)
endif()
