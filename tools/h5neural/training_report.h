// training_report.h: what a training came to, for people: the card (Markdown, beside the weights) and the
// report (one HTML page with its pictures inside). Knows HDF5 and the engine's C API.
#pragma once
#include <string>
#include <vector>

#include "learn.h"

namespace h5neural::tool {

// Test chunks as the writer writes them, at one bound.
struct TestRow {
  double bound = 0;
  double without = 0, with = 0;  // mean bytes
};

// At the bound learned for and around it.
std::vector<TestRow> measure_test(const TrainingData& data, const WriterSetting& setting, uint64_t hash);

struct Training {
  const TrainingData& data;
  const LearnRequest& request;
  const Learned& learned;
  const std::vector<TestRow>& test;
  const Candidate& best() const { return learned.candidates[learned.best]; }
};

// The card of the weights file at `out`. Throws ToolError.
void write_card(const Training& training, const std::string& out);
// The report. Throws ToolError.
void write_report(const Training& training, const std::string& path);

}  // namespace h5neural::tool
