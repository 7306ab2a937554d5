// specials.cc: see specials.h. Section: varint patterns | their bits | varint literals | their bits | varint
// outliers | gaps and bits | classes (adaptive binary coder; absent where all points are regular). A row of
// classes is sent as a copy of the row before it, or of the same row one slab before, or point by point in
// the context of its neighbours.
#include "specials/specials.h"

#include <algorithm>
#include <array>

#include "entropy/bit_coder.h"

namespace h5neural {
namespace {

// The chunk as rows of its last axis; `slab`: rows in a slab of the last two axes.
struct Rows {
  size_t length, count, slab;
  explicit Rows(const Extents& e) {
    length = e.n[e.rank - 1];
    count = e.count() / length;
    slab = e.rank >= 2 ? e.n[e.rank - 2] : 1;
  }
};

// One coder for both directions: `Coder` is a writer or a reader of bits and small numbers.
struct Writer {
  static constexpr bool kWrites = true;
  BitEncoder& c;
  bool bit(BitModel& m, bool b) {
    c.bit(m, b);
    return b;
  }
  int32_t number(IntModel& m, int32_t v) {
    m.encode(c, v);
    return v;
  }
};
struct Reader {
  static constexpr bool kWrites = false;
  BitDecoder& c;
  bool bit(BitModel& m, bool) { return c.bit(m); }
  int32_t number(IntModel& m, int32_t) { return m.decode(c); }
};

template <class Coder>
class ClassCoder {
 public:
  ClassCoder(Coder coder, const Rows& rows, int classes, std::vector<uint8_t>& map)
      : coder_(coder), rows_(rows), classes_(classes), map_(map) {}

  void run() {
    for (size_t r = 0; r < rows_.count; ++r) row(r);
  }

 private:
  enum Mode { kPoints = 0, kRowBefore = 1, kSlabBefore = 2 };

  void row(size_t r) {
    uint8_t* here = map_.data() + r * rows_.length;
    const uint8_t* before = r > 0 ? here - rows_.length : nullptr;
    const uint8_t* slab = r >= rows_.slab && rows_.slab > 1 ? here - rows_.slab * rows_.length : nullptr;
    const auto same = [&](const uint8_t* o) {
      return Coder::kWrites && std::equal(here, here + rows_.length, o);
    };
    int mode = kPoints;
    if (slab != nullptr && coder_.bit(from_slab_[last_], same(slab))) {
      mode = kSlabBefore;
    } else if (before != nullptr && coder_.bit(from_row_[last_], same(before))) {
      mode = kRowBefore;
    }
    last_ = mode;
    if (mode == kPoints) {
      points(here, before, slab);
    } else {
      std::copy_n(mode == kSlabBefore ? slab : before, rows_.length, here);
    }
  }

  void points(uint8_t* here, const uint8_t* before, const uint8_t* slab) {
    for (size_t k = 0; k < rows_.length; ++k) {
      const uint8_t west = k > 0 ? here[k - 1] : 0, north = before ? before[k] : 0, up = slab ? slab[k] : 0;
      const uint8_t far_west = k > 1 ? here[k - 2] : 0;
      const uint8_t east = before && k + 1 < rows_.length ? before[k + 1] : 0;
      const int context =
          (west != 0) | (north != 0) << 1 | (up != 0) << 2 | (far_west != 0) << 3 | (east != 0) << 4;
      if (!coder_.bit(special_[context], here[k] != 0)) {
        here[k] = 0;
        continue;
      }
      const uint8_t guess = west ? west : north ? north : up ? up : last_class_;
      if (coder_.bit(other_[guess == west], here[k] != guess)) {
        const int64_t c = int64_t{coder_.number(class_, int32_t{here[k]} - 1)} + 1;
        if (c < 1 || c > classes_) fail_corrupt("a special has an unknown class");
        here[k] = static_cast<uint8_t>(c);
      } else {
        here[k] = guess;
      }
      last_class_ = here[k];
    }
  }

  Coder coder_;
  const Rows& rows_;
  int classes_;
  std::vector<uint8_t>& map_;
  std::array<BitModel, 3> from_row_, from_slab_;
  std::array<BitModel, 32> special_;
  std::array<BitModel, 2> other_;
  IntModel class_;
  int last_ = 0;
  uint8_t last_class_ = 1;
};

void put_bits(ByteWriter& w, uint64_t bits, int element_bytes) {
  if (element_bytes == 4) {
    w.put(static_cast<uint32_t>(bits));
  } else {
    w.put(bits);
  }
}

uint64_t get_bits(ByteReader& r, int element_bytes) {
  return element_bytes == 4 ? r.get<uint32_t>() : r.get<uint64_t>();
}

std::vector<uint64_t> get_list(ByteReader& r, uint64_t most, int element_bytes) {
  const uint64_t n = r.varint();
  if (n > most || n > r.left()) fail_corrupt("a list of specials is too long");
  std::vector<uint64_t> v(n);
  for (uint64_t& bits : v) bits = get_bits(r, element_bytes);
  return v;
}

}  // namespace

uint64_t Specials::count() const {
  return static_cast<uint64_t>(
             std::count_if(classes.begin(), classes.end(), [](uint8_t c) { return c != 0; })) +
         outliers.size();
}

Bytes write_specials(const Specials& s, const Extents& extents, int element_bytes) {
  if (s.classes.empty() && s.outliers.empty()) return {};
  ByteWriter w;
  w.varint(s.patterns.size());
  for (const uint64_t b : s.patterns) put_bits(w, b, element_bytes);
  w.varint(s.literals.size());
  for (const uint64_t b : s.literals) put_bits(w, b, element_bytes);
  w.varint(s.outliers.size());
  uint64_t next = 0;
  for (const auto& o : s.outliers) {
    w.varint(o.index - next);
    put_bits(w, o.bits, element_bytes);
    next = o.index + 1;
  }
  if (!s.classes.empty()) {
    BitEncoder c;
    std::vector<uint8_t> map = s.classes;
    const Rows rows(extents);
    ClassCoder<Writer>({c}, rows, static_cast<int>(s.patterns.size()) + 1, map).run();
    w.bytes(c.finish());
  }
  return w.take();
}

Specials read_specials(ByteSpan section, const Extents& extents, int element_bytes) {
  Specials s;
  if (section.empty()) return s;
  ByteReader r(section);
  s.patterns = get_list(r, kMaxPatterns, element_bytes);
  s.literals = get_list(r, extents.count(), element_bytes);
  const uint64_t outliers = r.varint();
  if (outliers > r.left()) fail_corrupt("the list of outliers is too long");
  uint64_t next = 0;
  for (uint64_t k = 0; k < outliers; ++k) {
    const uint64_t gap = r.varint();
    if (gap >= extents.count() || next + gap >= extents.count())
      fail_corrupt("an outlier lies outside the chunk");
    s.outliers.push_back({next + gap, get_bits(r, element_bytes)});
    next += gap + 1;
  }
  if (s.patterns.empty() && s.literals.empty()) return s;
  s.classes.assign(extents.count(), 0);
  BitDecoder c(r.take(r.left()));
  const Rows rows(extents);
  ClassCoder<Reader>({c}, rows, static_cast<int>(s.patterns.size()) + 1, s.classes).run();
  const auto literal = static_cast<uint8_t>(s.patterns.size() + 1);
  if (static_cast<size_t>(std::count(s.classes.begin(), s.classes.end(), literal)) != s.literals.size()) {
    fail_corrupt("the number of literals does not agree");
  }
  return s;
}

}  // namespace h5neural
