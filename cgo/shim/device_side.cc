#include "device_side.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "device.h"
#include "match.h"

namespace fdqc {
namespace {

constexpr int64_t kLeastRoom = 64;  // a multiple of the groups of matching

// The places that a put leaves written, ascending, and for each the row of the
// put that is there last.
struct Written {
  std::vector<int64_t> places, from;
  bool together = false;  // the places follow one another

  Written(int64_t count, const int64_t* index) {
    std::vector<int64_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return index[a] < index[b];
    });
    for (int64_t k = 0; k < count; ++k) {
      if (k + 1 < count && index[order[k + 1]] == index[order[k]]) continue;
      places.push_back(index[order[k]]);
      from.push_back(order[k]);
    }
    together = places.back() - places.front() + 1 ==
               static_cast<int64_t>(places.size());
  }
};

// Writes rows of host memory to places of a device's tensor. Made first, so
// that what can want memory comes before anything is written.
class Write {
 public:
  Write(at::Tensor& to, at::Tensor from, const Written& written)
      : to_(to), from_(std::move(from)), written_(written) {
    if (written_.together) return;
    from_ = from_.to(to.device());
    index_ = at::from_blob(const_cast<int64_t*>(written_.places.data()),
                           {static_cast<int64_t>(written_.places.size())},
                           at::kLong)
                 .to(to.device(), at::kLong, /*non_blocking=*/false,
                     /*copy=*/true);
  }

  void operator()() {
    if (written_.together) {
      to_.narrow(0, written_.places.front(), from_.size(0)).copy_(from_);
    } else {
      to_.index_copy_(0, index_, from_);
    }
  }

 private:
  at::Tensor& to_;
  at::Tensor from_, index_;
  const Written& written_;
};

at::Tensor host_empty(at::IntArrayRef shape, at::ScalarType type) {
  return at::empty(shape, at::TensorOptions().dtype(type));
}

}  // namespace

DeviceSide::DeviceSide(int64_t n, c10::Device device)
    : n_(n), host_centre_(n, 0) {
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(device);
  rows_ = at::empty({0, 2 * n}, floats);
  lower_ = at::empty({0, n + 1}, floats);
  tail_ = at::empty({0}, floats.dtype(at::kDouble));
  centre_ = at::zeros({n}, floats.dtype(at::kDouble));
}

void DeviceSide::make_room(int64_t count) {
  const int64_t room = rows_.size(0);
  if (count <= room) return;
  const int64_t wanted = (std::max({count, 2 * room, kLeastRoom}) +
                          kLeastRoom - 1) / kLeastRoom * kLeastRoom;
  at::Tensor rows = at::empty({wanted, 2 * n_}, rows_.options());
  at::Tensor lower = at::zeros({wanted, n_ + 1}, lower_.options());
  at::Tensor tail = at::empty({wanted}, tail_.options());
  lower.select(1, n_).fill_(std::numeric_limits<double>::infinity());
  rows.narrow(0, 0, count_).copy_(rows_.narrow(0, 0, count_));
  lower.narrow(0, 0, count_).copy_(lower_.narrow(0, 0, count_));
  tail.narrow(0, 0, count_).copy_(tail_.narrow(0, 0, count_));
  rows_ = std::move(rows);
  lower_ = std::move(lower);
  tail_ = std::move(tail);
}

void DeviceSide::put(int64_t count, const int64_t* index, const float* rows) {
  if (count == 0) return;
  device_step(count);
  const Written written(count, index);
  const int64_t changed = static_cast<int64_t>(written.places.size());
  const int64_t after = std::max(count_, written.places.back() + 1);
  at::Tensor heads = host_empty({changed, 2 * n_}, at::kFloat);
  at::Tensor lower = host_empty({changed, n_ + 1}, at::kFloat);
  at::Tensor tail = host_empty({changed}, at::kDouble);
  bool tails = tails_;
  for (int64_t i = 0; i < changed; ++i) {
    const float* const row = rows + written.from[i] * 2 * n_;
    std::copy_n(row, 2 * n_, heads.mutable_data_ptr<float>() + i * 2 * n_);
    double& rest = tail.mutable_data_ptr<double>()[i];
    prepare_row(row, n_, host_centre_.data(),
                lower.mutable_data_ptr<float>() + i * (n_ + 1), rest);
    tails = tails || rest != 0;
  }
  make_room(after);
  Write to_rows(rows_, heads, written), to_lower(lower_, lower, written),
      to_tail(tail_, tail, written);
  to_rows();
  to_lower();
  to_tail();
  count_ = after;
  tails_ = tails;
  fresh_ += changed;
  if (fresh_ >= centred_) centre_anew();
}

// From a centre among the rows the float32 bounds are tight; from any other
// they are true as well, so that a want of memory here is no failure.
void DeviceSide::centre_anew() {
  try {
    const PreparedSide made = prepare(rows_.narrow(0, 0, count_), n_);
    const at::Tensor centre = made.centre.to(at::kCPU);
    lower_.narrow(0, 0, made.lower.size(0)).copy_(made.lower);
    centre_ = made.centre;
    std::copy_n(centre.const_data_ptr<double>(), n_, host_centre_.begin());
    tails_ = !made.tail_zero;
  } catch (const c10::OutOfMemoryError&) {
  }
  centred_ = count_;
  fresh_ = 0;
}

void DeviceSide::truncate(int64_t count) {
  if (count >= count_) return;
  device_step(0);
  // What fills the last group is no pattern.
  lower_.slice(0, count, count_)
      .select(1, n_)
      .fill_(std::numeric_limits<double>::infinity());
  count_ = count;
  centred_ = std::min(centred_, count);
}

PreparedSide DeviceSide::view() const {
  PreparedSide side;
  side.count = count_;
  side.n = n_;
  side.rows = rows_.narrow(0, 0, count_);
  side.centre = centre_;
  side.tail = tail_.narrow(0, 0, count_);
  side.tail_zero = !tails_;
  side.lower = lower_.narrow(0, 0, padded_patterns(count_));
  return side;
}

}  // namespace fdqc
