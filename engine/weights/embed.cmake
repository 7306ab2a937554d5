# embed.cmake: compiles the weights files listed in H5NEURAL_EMBED_WEIGHTS (a CMake list of paths) into the engine, and
# copies those of weights/ to the build tree's share/, which mirrors the install.
set(H5NEURAL_EMBED_WEIGHTS "" CACHE STRING "Weights files to compile into the engine (a CMake list of paths)")
set(embedded_symbols "")
set(embedded_rows "")
set(embedded_index 0)
foreach(file IN LISTS H5NEURAL_EMBED_WEIGHTS)
  get_filename_component(file ${file} ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
  get_filename_component(name ${file} NAME)
  set(symbol h5neural_weights_${embedded_index})
  string(APPEND embedded_symbols "asm(\".section .rodata\\n.balign 16\\n${symbol}:\\n.incbin \\\"${file}\\\"\\n${symbol}_end:\\n.previous\\n\");\n"
    "extern \"C\" const uint8_t ${symbol}[], ${symbol}_end[];\n")
  string(APPEND embedded_rows "    {\"${name}\", ${symbol}, ${symbol}_end},\n")
  math(EXPR embedded_index "${embedded_index} + 1")
endforeach()
if(embedded_rows)
  set(embedded_body "  static const EmbeddedWeights rows[] = {\n${embedded_rows}  };\n  return rows;\n")
else()
  set(embedded_body "  return {};\n")
endif()
set(embedded_source ${CMAKE_CURRENT_BINARY_DIR}/embedded_weights.cc)
file(CONFIGURE OUTPUT ${embedded_source} @ONLY CONTENT
"// Written by engine/weights/embed.cmake.
#include \"weights/embedded.h\"
@embedded_symbols@
namespace h5neural {
std::span<const EmbeddedWeights> embedded_weights() {
@embedded_body@}
}  // namespace h5neural
")
set_source_files_properties(${embedded_source} PROPERTIES OBJECT_DEPENDS "${H5NEURAL_EMBED_WEIGHTS}")
target_sources(h5neural_static PRIVATE ${embedded_source})

file(GLOB shipped_weights CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/weights/*.safetensors)
set(copied_weights "")
foreach(file IN LISTS shipped_weights)
  get_filename_component(name ${file} NAME)
  set(copy ${CMAKE_BINARY_DIR}/${H5NEURAL_WEIGHTS_DIR}/${name})
  add_custom_command(OUTPUT ${copy} COMMAND ${CMAKE_COMMAND} -E copy ${file} ${copy} DEPENDS ${file} VERBATIM)
  list(APPEND copied_weights ${copy})
endforeach()
add_custom_target(h5neural_weights ALL DEPENDS ${copied_weights})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/weights/ DESTINATION ${H5NEURAL_WEIGHTS_DIR}
  FILES_MATCHING PATTERN "*.safetensors" PATTERN "*.md")
