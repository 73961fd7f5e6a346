#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>

#include <limits>

#include "operator.h"
#include "tiles.h"

namespace fdqc {
namespace {

// Rows of one segment that go to consecutive rows of the chunk.
struct Piece {
  const Rows* segment;
  int64_t from, to, count;  // first row in the segment, in the chunk
};

std::vector<Piece> pieces(const std::vector<Rows>& segments, int64_t first,
                          int64_t rows, int64_t longest) {
  std::vector<Piece> found;
  int64_t begin = 0;  // of the segment in the batch
  for (const Rows& segment : segments) {
    const int64_t end = begin + segment.embeddings.size(0);
    int64_t at = std::max(first, begin);
    const int64_t stop = std::min(first + rows, end);
    for (int64_t count; at < stop; at += count) {
      count = std::min(longest, stop - at);
      found.push_back({&segment, at - begin, at - first, count});
    }
    begin = end;
  }
  return found;
}

at::Tensor all_finite(const at::Tensor& rows) {
  // NaN is not less than infinity.
  return rows.abs().amax(1).lt(std::numeric_limits<double>::infinity());
}

}  // namespace

at::Tensor workspace(const std::vector<Rows>& segments, int64_t n,
                     int64_t first, int64_t rows, c10::Device device,
                     at::Tensor& finite) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const std::vector<Piece> parts =
      pieces(segments, first, rows, tile_rows(device, rows));
  finite = at::empty({rows}, options.dtype(at::kBool));
  at::Tensor z;
  const Rows& only = *parts.front().segment;
  const bool as_given = parts.back().segment == &only &&
                        !only.weight.defined() &&
                        only.embeddings.device() == device;
  z = as_given ? only.embeddings.narrow(0, parts.front().from, rows)
               : at::empty({rows, n}, options);
  for_tiles(device, static_cast<int64_t>(parts.size()), [&](int64_t i) {
    const Piece& part = parts[i];
    at::Tensor to = z.narrow(0, part.to, part.count);
    if (!as_given) {
      const at::Tensor from =
          part.segment->embeddings.narrow(0, part.from, part.count)
              .to(device);
      if (part.segment->weight.defined()) {
        at::addmm_out(to, part.segment->bias, from, part.segment->weight.t());
      } else {
        to.copy_(from);
      }
    }
    finite.narrow(0, part.to, part.count).copy_(all_finite(to));
  });
  return z;
}

}  // namespace fdqc
