// output_file.h: a file that appears under its name only when it is finished: it is written beside it under
// another name, and takes its place in one step. Knows no HDF5.
#pragma once
#include <string>

namespace h5neural::tool {

class OutputFile {
 public:
  // Makes an empty file in the folder of `path`. `input`: the file that is read meanwhile, refused as an
  // output (under any of its names). Throws ToolError.
  OutputFile(const std::string& path, const std::string& input);
  // Removes the unfinished file. So do SIGINT, SIGTERM and SIGHUP.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  const std::string& unfinished() const { return unfinished_; }  // where to write
  // One more file, or folder once it is empty, that those signals remove, in this order; 64 at most.
  void remove_too(const std::string& path);
  // Flushes it to the disk and gives it its name. Throws ToolError.
  void finish();

 private:
  std::string path_, unfinished_;
};

}  // namespace h5neural::tool
