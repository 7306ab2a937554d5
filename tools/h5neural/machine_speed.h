// machine_speed.h: how fast this machine moves bytes: memory, a socket to itself, a disk; and many threads at
// once against one clock. Knows no HDF5 and no engine.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace h5neural::tool {

// Cores that this process may run on.
unsigned usable_cores();
// "AMD EPYC 7763 64-Core Processor"; "unknown" where the system does not say.
std::string processor_name();

// Runs work(0) to work(threads - 1), each in its thread, all started together; returns the seconds from
// there until the last has ended. Throws what one of them threw.
double seconds_in_parallel(unsigned threads, const std::function<void(unsigned)>& work);

// Seconds of processor time that all threads of this process have used.
double processor_seconds();

// The median of the seconds of some runs, as many as fit into about half a second, one at least.
double median_seconds(const std::function<double()>& run);

// Bytes per second. Throw ToolError.
double memory_copy_speed(unsigned threads);  // copied, counted once, from and to buffers beyond the caches
double loopback_speed();                     // TCP from this process to itself over 127.0.0.1
struct DiskSpeed {
  double write = 0, read = 0;  // write: until the disk has it (fsync)
  double cached = 0;           // share of the file that was still in memory when it was read, 0 to 1
};
DiskSpeed disk_speed(const std::string& folder);  // by a file without a name, gone afterwards

}  // namespace h5neural::tool
