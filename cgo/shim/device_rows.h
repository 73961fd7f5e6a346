// What of a batch goes to the device with a tile of its rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "fdqc.h"

namespace fdqc {

// A tile lies in one run of bytes: the rows of its segments, then a byte a row
// that says whether it is judged and one whether it may be allowed, then, when
// its rows move several states or start them anew, what cuda::Scan needs.
struct TileRows {
  // Rows of a segment in the tile.
  struct Piece {
    const fdqc_segment* segment;
    int64_t from, to, count;  // first row in the segment, in the tile
    int64_t bytes;            // where it begins
  };

  // number: [batch.count] the state that each row moves, as the batch numbers
  // them, or NULL: all 0.
  TileRows(const fdqc_batch& batch, const int32_t* number, int64_t first,
           int64_t count);

  // Writes the tile to host memory of `bytes`, and to refusal ([count]) why a
  // row is not judged (FDQC_ROW_SKIPPED, FDQC_ROW_NOT_FINITE) or 0. Shared out
  // among the pool.
  void fill(uint8_t* to, uint32_t* refusal) const;

  const fdqc_batch& batch;
  const int32_t* number;
  int64_t first, count;  // rows of the batch
  std::vector<Piece> pieces;
  int64_t given, no_allow;       // where these begin
  bool in_order;                 // order, slot and marks are not needed
  int64_t order, slot, marks;
  int64_t bytes;                 // of all
};

}  // namespace fdqc
