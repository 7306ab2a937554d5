// ways.h: how hard the writer looks for a way to code a chunk, and which schedules of the walk it tries.
// Writer only.
#pragma once
#include <vector>

#include "codec/parts.h"
#include "corrections/box.h"
#include "corrections/choose_schedule.h"
#include "h5neural/h5neural.h"
#include "transform/plans.h"

namespace h5neural {

// Refers to the parameters.
class Ways {
 public:
  Ways(const h5n_params& params, const EncoderParts& parts) : params_(params), parts_(parts) {}

  // The schedules that are worth a whole coding. `rest`: the target less the base.
  Audition likely_schedules(const WalkInput& in, const std::vector<double>& target,
                            const std::vector<double>& rest) const;
  std::vector<Schedule> proposed(const WalkInput& in, const std::vector<double>& rest) const;
  // The part of the chunk on which ways to code it are compared.
  Box part_of(const WalkInput& in, const std::vector<double>& target, uint8_t wraps) const;
  WalkEffort quick_effort() const;
  WalkEffort effort() const;
  PlanEffort plan_effort() const;

  unsigned finer = 0;  // quarter octaves by which bins narrow from level to level

 private:
  const h5n_params& params_;
  EncoderParts parts_;
};

}  // namespace h5neural
