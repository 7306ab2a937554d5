// choices_test.cc: what the writer of a walk chooses by: counts of residuals and the tables that suit them,
// the busiest box of a chunk, schedules compared on it, quick logarithms.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "corrections/choose_schedule.h"
#include "corrections/context_counts.h"
#include "corrections/residual.h"
#include "support/about_log2.h"

namespace h5neural {
namespace {

// Bytes of residuals under one table.
size_t coded(const std::vector<int32_t>& q, const TableChoice& t) {
  ContextTables tables{};
  tables[3] = residual_table(t);
  ResidualEncoder out;
  out.batch(q, std::vector<uint8_t>(q.size(), 3), tables);
  return out.finish().size();
}

TEST(ContextCounts, FindTheCheapestTable) {
  std::mt19937 random(1);
  for (const double mean : {0.02, 0.7, 6.0, 90.0, 4000.0}) {
    std::exponential_distribution<double> magnitude(1 / mean);
    std::vector<int32_t> q(6000);
    for (int32_t& v : q) v = static_cast<int32_t>(std::lround(magnitude(random))) * (random() & 1 ? 1 : -1);
    ContextCounts counts;
    counts.count(std::vector<uint8_t>(3, 0), std::vector<int32_t>{1, -2, 300});  // forgotten
    counts.count(std::vector<uint8_t>(q.size(), 3), q);
    EXPECT_EQ(counts.of(0), 0);
    ASSERT_EQ(counts.of(3), static_cast<int64_t>(q.size()));
    const size_t best = coded(q, counts.cheapest(3, {1, 20}));
    for (int shape = 0; shape < kTableShapes; ++shape) {
      for (int scale = 0; scale < kTableScales + 40; ++scale) {
        // What is said about a table, and the words that are cut off, are a few bytes.
        EXPECT_LE(best, coded(q, {shape, scale}) + 8) << mean << " " << shape << " " << scale;
      }
    }
  }
}

// Noise in one corner of a chunk.
struct Corner {
  WalkInput in;
  std::vector<double> target;
  Corner() {
    in.n = {1, 40, 48, 64};
    in.step_bits = 4;
    target.assign(static_cast<size_t>(points(in.n)), 0);
    std::mt19937 random(2);
    std::normal_distribution<double> normal(0, 100);
    size_t k = 0;
    for_rows(in.n, [&](const Index4& i) {
      for (int x = 0; x < in.n[3]; ++x, ++k)
        target[k] = i[1] < 12 && i[2] > 34 && x > 44 ? normal(random) : 0;
    });
  }
};

TEST(Box, SeeksWhereMostIsToBeCoded) {
  const Corner c;
  Box box(c.in.n, 12000);
  box.seek(c.in, c.target);
  EXPECT_EQ(box.first[1], 0);
  EXPECT_EQ(box.first[2] + box.n[2], c.in.n[2]);
  EXPECT_EQ(box.first[3] + box.n[3], c.in.n[3]);
  const Part part(c.in, c.target, box);
  EXPECT_EQ(static_cast<int64_t>(part.field.size()), points(box.n));
  EXPECT_EQ(part.field.back(), c.target[(size_t(box.n[1] - 1) * 48 + 47) * 64 + 63]);
}

TEST(Box, StaysInTheMiddleWhereThereIsNothing) {
  Corner c;
  std::fill(c.target.begin(), c.target.end(), 5);
  Box box(c.in.n, 12000);
  const Index4 middle = box.first;
  box.seek(c.in, c.target);
  EXPECT_EQ(box.first, middle);
}

TEST(ChooseSchedules, FindsOneOrThoseThatThePartCannotTellApart) {
  const Corner c;
  std::vector<Schedule> all = propose_schedules(c.in.n, c.target, {}, usual_error(c.in));
  all.push_back(all.front());
  Box box(c.in.n, 12000);
  box.seek(c.in, c.target);
  const Audition one = choose_schedules(c.in, all, c.target, box, walk_effort(1), -1);
  ASSERT_EQ(one.best.size(), 1u);
  EXPECT_GT(one.bytes, 100u);
  const Audition any = choose_schedules(c.in, all, c.target, box, walk_effort(1), 100);
  EXPECT_EQ(any.best.size(), all.size());
  EXPECT_EQ(any.best.front(), one.best.front());
  EXPECT_EQ(any.bytes, one.bytes);
}

TEST(Chance, FallsWithTheBytes) {
  EXPECT_GT(chance_between(0), 1);
  EXPECT_GT(chance_between(100), 5 * chance_between(10000));
}

TEST(About, IsNear) {
  for (float v = 1; v < 1e12f; v *= 1.37f) EXPECT_NEAR(about_log2(v), std::log2(v), 2e-4) << v;
  for (float x = -90; x <= 0; x += 0.37f) EXPECT_NEAR(about_exp2(x) / std::exp2(x), 1, 2e-3) << x;
}

}  // namespace
}  // namespace h5neural
