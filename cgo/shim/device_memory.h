// How a batch on a device makes do with the memory that there is.
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>

#include "device.h"
#include "device_batch.h"
#include "handles.h"

namespace fdqc {

// Rows of a tile, at most `most`: a quarter of the batch, so that copies and
// kernels overlap, unless that keeps a device less than busy.
int64_t rows_of_tile(const fdqc_batch& batch, int64_t most);

// Calls body(rows of a tile) until the device has memory for it; most is the
// place's limit of rows, halved where it has not.
template <typename Body>
void with_less_memory(const fdqc_batch& batch, const Body& body) {
  const Place& place = batch.states->place;
  int64_t& most = batch.states->room->tile_rows;
  DeviceCounts& counts = counts_of(place);
  for (;;) {
    const int64_t rows = rows_of_tile(batch, most);
    counts.tile_rows = most;
    try {
      return on_device(place, [&] { body(rows); });
    } catch (const c10::OutOfMemoryError&) {
      if (most <= kLeastTileRows) throw;
      most = std::max(kLeastTileRows,
                      (rows > kLeastTileRows ? rows : most) / 2);
      ++counts.out_of_memory;
    }
  }
}

}  // namespace fdqc
