# h5neural_flags: the warning and sanitizer flags of every target of the project (warnings are errors).
add_library(h5neural_flags INTERFACE)
target_compile_options(h5neural_flags INTERFACE -Wall -Wextra -Wshadow -Wvla -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>
  # Every reader computes the same bits: no contraction of a*b+c into a fused operation, no -ffast-math.
  -ffp-contract=off)
if(H5NEURAL_SANITIZE)
  target_compile_options(h5neural_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(h5neural_flags INTERFACE -fsanitize=address,undefined)
endif()
if(H5NEURAL_FUZZ)
  target_compile_options(h5neural_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
