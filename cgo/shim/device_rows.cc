#include "device_rows.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "cuda/arguments.h"
#include "device_memory.h"
#include "finite.h"
#include "pool.h"
#include "tiles.h"

namespace fdqc {
namespace {

// Parts begin where every vector load of a device may.
constexpr int64_t kAlign = 256;

int64_t aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Bytes of a tile's rows that are in pinned memory at once, twice.
constexpr int64_t kTileBytes = int64_t{32} << 20;

}  // namespace

int64_t rows_of_tile(const fdqc_batch& batch, int64_t most) {
  constexpr int64_t kBusy = 4096;
  int64_t widest = 1;
  for (int64_t i = 0; i < batch.segment_count; ++i) {
    widest = std::max<int64_t>(widest, batch.segments[i].width);
  }
  const int64_t fit =
      kTileBytes / (widest * static_cast<int64_t>(sizeof(float)));
  const int64_t rows = std::min(
      {most, fit, std::max((batch.count + 3) / 4, kBusy), batch.count});
  return std::max<int64_t>(rows, 1);
}

TileRows::TileRows(const fdqc_batch& of, const int32_t* numbers,
                   int64_t first_row, int64_t rows)
    : batch(of), number(numbers), first(first_row), count(rows) {
  int64_t begin = 0, at = 0;
  for (int64_t s = 0; s < batch.segment_count; ++s) {
    const fdqc_segment& segment = batch.segments[s];
    const int64_t from = std::max(first, begin);
    const int64_t to = std::min(first + count, begin + segment.count);
    if (from < to) {
      pieces.push_back({&segment, from - begin, from - first, to - from, at});
      at = aligned(at + (to - from) * segment.width *
                            static_cast<int64_t>(sizeof(float)));
    }
    begin += segment.count;
  }
  given = at;
  no_allow = aligned(given + count);
  at = aligned(no_allow + count);
  in_order = true;
  for (int64_t i = first; in_order && i < first + count; ++i) {
    in_order = (number == nullptr || number[i] == 0) &&
               (batch.row_flags == nullptr ||
                (batch.row_flags[i] & FDQC_ROW_RESET) == 0);
  }
  order = slot = marks = at;
  if (!in_order) {
    slot = aligned(order + count * static_cast<int64_t>(sizeof(int32_t)));
    marks = aligned(slot + count * static_cast<int64_t>(sizeof(int32_t)));
    at = aligned(marks + count);
  }
  bytes = at;
}

void TileRows::fill(uint8_t* to, uint32_t* refusal) const {
  const uint8_t* const flags =
      batch.row_flags == nullptr ? nullptr : batch.row_flags + first;
  for (const Piece& piece : pieces) {
    const int64_t width = piece.segment->width;
    const float* const from = piece.segment->rows + piece.from * width;
    const int64_t parts = (piece.count + kTileRows - 1) / kTileRows;
    Pool::instance().run(parts, [&](int64_t part) {
      const int64_t begin = part * kTileRows;
      const int64_t end = std::min(begin + kTileRows, piece.count);
      std::memcpy(to + piece.bytes + begin * width * sizeof(float),
                  from + begin * width, (end - begin) * width * sizeof(float));
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = piece.to + i;
        uint32_t why = FDQC_ROW_OK;
        if (flags != nullptr && (flags[row] & FDQC_ROW_SKIP) != 0) {
          why = FDQC_ROW_SKIPPED;
        } else if (!finite(from + i * width, width)) {
          why = FDQC_ROW_NOT_FINITE;
        }
        refusal[row] = why;
        to[given + row] = why == FDQC_ROW_OK ? 1 : 0;
        to[no_allow + row] =
            flags != nullptr && (flags[row] & FDQC_ROW_NO_ALLOW) != 0 ? 1 : 0;
      }
    });
  }
  if (in_order) return;
  int32_t* const places = reinterpret_cast<int32_t*>(to + order);
  int32_t* const slots = reinterpret_cast<int32_t*>(to + slot);
  const auto slot_of = [&](int32_t row) {
    return number == nullptr ? 0 : number[first + row];
  };
  std::iota(places, places + count, 0);
  const auto before = [&](int32_t a, int32_t b) {
    return slot_of(a) < slot_of(b);
  };
  if (!std::is_sorted(places, places + count, before)) {
    std::stable_sort(places, places + count, before);
  }
  for (int64_t p = 0; p < count; ++p) {
    const int32_t row = places[p];
    slots[p] = slot_of(row);
    uint8_t mark = p == 0 || slots[p] != slots[p - 1] ? cuda::kStart : 0;
    if (flags != nullptr && (flags[row] & FDQC_ROW_RESET) != 0) {
      mark |= cuda::kReset;
    }
    to[marks + p] = mark;
  }
}

}  // namespace fdqc
