# Torch.cmake: imported target h5neural::torch (libtorch_cpu and libc10 of a PyTorch wheel).
#
# Looks at TORCH_ROOT (the folder `torch` of an installed wheel), else in build/venv of the source tree. Never calls
# find_package(Torch): it fails without CUDA, and names every library of the wheel. Where nothing is found, it says
# so, and h5neural-worker is not built; reading and writing need none of it. Sets H5NEURAL_TORCH_FOUND.
#
#   python3 -m venv build/venv
#   build/venv/bin/pip install --no-deps torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
set(TORCH_ROOT "" CACHE PATH "Folder `torch` of a PyTorch wheel")
set(torch_root ${TORCH_ROOT})
if(NOT torch_root)
  file(GLOB torch_candidates ${CMAKE_SOURCE_DIR}/build/venv/lib/python3.*/site-packages/torch)
  list(LENGTH torch_candidates torch_count)
  if(torch_count)
    list(GET torch_candidates 0 torch_root)
  endif()
endif()

set(H5NEURAL_TORCH_FOUND OFF)
if(NOT EXISTS ${torch_root}/lib/libtorch_cpu.so OR NOT EXISTS ${torch_root}/include/torch/csrc/api/include/torch/torch.h)
  message(STATUS "LibTorch not found (TORCH_ROOT='${TORCH_ROOT}'): h5neural-worker, which trains weights, is left out. "
    "To get it: python3 -m venv build/venv && build/venv/bin/pip install --no-deps torch==2.11.0 "
    "nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85")
  return()
endif()

message(STATUS "LibTorch: ${torch_root}")
set(torch_libraries c10 torch_cpu)
if(H5NEURAL_CUDA)
  if(NOT EXISTS ${torch_root}/lib/libtorch_cuda.so)
    message(FATAL_ERROR "H5NEURAL_CUDA needs a LibTorch with CUDA, and ${torch_root}/lib has no libtorch_cuda.so. "
      "Install it: build/venv/bin/pip install torch==2.11.0")
  endif()
  list(APPEND torch_libraries c10_cuda torch_cuda)
endif()
foreach(name ${torch_libraries})
  add_library(h5neural_${name} SHARED IMPORTED GLOBAL)
  set_target_properties(h5neural_${name} PROPERTIES IMPORTED_LOCATION ${torch_root}/lib/lib${name}.so)
endforeach()
add_library(h5neural_torch INTERFACE)
target_include_directories(h5neural_torch SYSTEM INTERFACE
  ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
# The wheel's own libraries ask for others next to them, and for the CUDA runtime's.
file(GLOB torch_cuda_libraries ${torch_root}/../nvidia/cu13/lib)
set(torch_rpath_link ${torch_root}/lib ${torch_cuda_libraries})
list(TRANSFORM torch_rpath_link PREPEND "-Wl,-rpath-link,")
list(TRANSFORM torch_libraries PREPEND h5neural_)
# Nothing calls into torch_cuda by name: it registers its kernels when it is loaded, so the linker must keep it.
target_link_libraries(h5neural_torch INTERFACE -Wl,--no-as-needed ${torch_libraries} ${torch_rpath_link})
target_compile_definitions(h5neural_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
add_library(h5neural::torch ALIAS h5neural_torch)
set(H5NEURAL_TORCH_FOUND ON)
