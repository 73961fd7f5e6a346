// One side of the pattern memory on a device other than the CPU: the rows,
// and what matching derives from them, both changed in place.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace fdqc {

struct PreparedSide;  // match.h

// Written under the gate of fdqc.h and on the device's current stream, which
// batches compute on too: a batch sees all of a put or nothing of it.
class DeviceSide {
 public:
  DeviceSide(int64_t n, c10::Device device);

  int64_t count() const { return count_; }

  // Row index[i] becomes rows[i] ([2n], finite), the later of two for one
  // place; an index may be the count, to append. Transfers O(n) a row. What is
  // derived from all rows, the centre alone, is chosen again once their number
  // has doubled or as many were put. When memory is short (OutOfMemoryError)
  // nothing has changed.
  void put(int64_t count, const int64_t* index, const float* rows);

  // Drops the rows from count on.
  void truncate(int64_t count);

  // Good until the next change.
  PreparedSide view() const;

 private:
  void make_room(int64_t rows);
  void centre_anew();

  int64_t n_, count_ = 0;
  at::Tensor rows_;    // [room, 2n] float32
  at::Tensor lower_;   // [room, n + 1] float32, as PreparedSide has it
  at::Tensor tail_;    // [room] float64
  at::Tensor centre_;  // [n] float64
  std::vector<double> host_centre_;
  bool tails_ = false;   // some row's second half may not be zero
  int64_t centred_ = 0;  // rows that the centre was chosen from
  int64_t fresh_ = 0;    // rows put since
};

}  // namespace fdqc
