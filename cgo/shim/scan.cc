// Rows of one slot are brought together (stably), and the sequence is cut into
// blocks of kBlock rows. A *segment* is a run of rows of one slot with no
// reset inside. Within a block,
//
//     s_i = sum_j M_ij u_j + w_i s0(i) + c_i carry,
//
// M_ij = 0.1 * 0.9^(i-j) for j <= i in the segment of i; s0(i) is the state
// that a segment which starts in the block starts from, and w_i its decay;
// carry is the last row of the block before, and c_i its decay while the
// segment that comes from there lasts. Blocks are computed side by side, the
// carries one after another.
#include "scan.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "tiles.h"

namespace fdqc {
namespace {

constexpr int64_t kBlock = 64;
constexpr int64_t kBlocksOfTile = 16;

// 0.9^k for k in [0, kBlock].
const std::array<double, kBlock + 1>& decay() {
  static const auto powers = [] {
    std::array<double, kBlock + 1> to{};
    for (int64_t k = 0; k <= kBlock; ++k) {
      to[k] = std::pow(0.9, static_cast<double>(k));
    }
    return to;
  }();
  return powers;
}

at::Tensor to_device(const float* from, int64_t count, const at::Tensor& like) {
  return at::from_blob(const_cast<float*>(from), {count}, at::kFloat)
      .to(like.device(), at::kFloat, /*non_blocking=*/false, /*copy=*/true);
}

at::Tensor to_device(const std::vector<int64_t>& from, const at::Tensor& like) {
  return at::from_blob(const_cast<int64_t*>(from.data()),
                       {static_cast<int64_t>(from.size())}, at::kLong)
      .to(like.device(), at::kLong, /*non_blocking=*/false, /*copy=*/true);
}

// [kBlock, kBlock]: M of a block that one segment fills.
at::Tensor whole_block(const at::Tensor& like) {
  std::array<float, kBlock * kBlock> m{};
  for (int64_t i = 0; i < kBlock; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      m[i * kBlock + j] = static_cast<float>(0.1 * decay()[i - j]);
    }
  }
  return to_device(m.data(), kBlock * kBlock, like).view({kBlock, kBlock});
}

// What the rows, in order of slot, mean for the blocks.
struct Plan {
  std::vector<int64_t> order;    // rows by slot; empty when as they come
  bool one_segment = false;      // the first row starts the only segment
  // Each [rows rounded up to kBlock]:
  std::vector<int64_t> reach;    // rows of the segment before i in the block
  std::vector<int64_t> origin;   // row of [states; loaded] for s0
  std::vector<float> w, c;
  std::vector<int64_t> ends, end_slots;  // last row of each slot, its slot
};

Plan plan(const std::vector<ScanRow>& moves, int64_t rows, int64_t slots) {
  Plan p;
  const int64_t padded = (rows + kBlock - 1) / kBlock * kBlock;
  p.reach.assign(padded, 0);
  p.origin.assign(padded, slots);
  p.w.assign(padded, 0);
  p.c.assign(padded, 0);
  const bool sorted = std::is_sorted(
      moves.begin(), moves.end(),
      [](const ScanRow& a, const ScanRow& b) { return a.slot < b.slot; });
  if (!sorted) {
    p.order.resize(rows);
    std::iota(p.order.begin(), p.order.end(), 0);
    std::stable_sort(p.order.begin(), p.order.end(), [&](int64_t a, int64_t b) {
      return moves[a].slot < moves[b].slot;
    });
  }
  const auto move = [&](int64_t i) {
    if (moves.empty()) return ScanRow{0, false};
    return moves[sorted ? i : p.order[i]];
  };
  int64_t segments = 0;
  bool from_before = false;  // the segment came from the block before
  int64_t reach = 0, origin = slots;
  for (int64_t i = 0; i < rows; ++i) {
    const ScanRow now = move(i);
    if (i == 0 || now.reset || move(i - 1).slot != now.slot) {
      ++segments;
      from_before = false;
      reach = 0;
      origin = now.reset ? slots : now.slot;
    } else if (i % kBlock == 0) {
      from_before = true;
      reach = 0;
    } else {
      ++reach;
    }
    p.reach[i] = reach;
    const float factor = static_cast<float>(decay()[reach + 1]);
    (from_before ? p.c : p.w)[i] = factor;
    if (!from_before) p.origin[i] = origin;
    if (i + 1 == rows || move(i + 1).slot != now.slot) {
      p.ends.push_back(i);
      p.end_slots.push_back(now.slot);
    }
  }
  p.one_segment = segments == 1;
  return p;
}

}  // namespace

at::Tensor scan(const at::Tensor& u, const std::vector<ScanRow>& moves,
                const at::Tensor& states, const at::Tensor& loaded) {
  const int64_t rows = u.size(0), n = u.size(1);
  if (rows == 0) return at::empty({0, n}, states.options());
  const Plan p = plan(moves, rows, states.size(0));
  const int64_t blocks = static_cast<int64_t>(p.w.size()) / kBlock;

  at::Tensor order;
  at::Tensor x = u;
  if (!p.order.empty()) {
    order = to_device(p.order, states);
    x = u.index_select(0, order);
  }
  at::Tensor in = at::zeros({blocks * kBlock, n}, states.options());
  in.narrow(0, 0, rows).copy_(x);
  in = in.view({blocks, kBlock, n});

  // The state that the segments start from, for each row of a block.
  const at::Tensor w =
      to_device(p.w.data(), blocks * kBlock, states).unsqueeze(1);
  const at::Tensor c = to_device(p.c.data(), blocks * kBlock, states)
                           .view({blocks, kBlock, 1});
  const at::Tensor origins =
      at::cat({states, loaded.unsqueeze(0)}).index_select(
          0, to_device(p.origin, states));
  at::Tensor out = origins.mul_(w).view({blocks, kBlock, n});

  const at::Tensor m = whole_block(states);
  at::Tensor first;  // [blocks, kBlock, 1]: the segment's first row here
  const at::Tensor places =
      at::arange(kBlock, states.options().dtype(at::kLong));
  if (!p.one_segment) {
    first = places.unsqueeze(1).sub(
        to_device(p.reach, states).view({blocks, kBlock, 1}));
  }
  const int64_t tiles = (blocks + kBlocksOfTile - 1) / kBlocksOfTile;
  for_tiles(u.device(), tiles, [&](int64_t t) {
    const int64_t b = t * kBlocksOfTile;
    const int64_t count = std::min(kBlocksOfTile, blocks - b);
    const at::Tensor of =
        p.one_segment
            ? m.expand({count, kBlock, kBlock})
            : m.mul(places.ge(first.narrow(0, b, count)));
    at::Tensor to = out.narrow(0, b, count);
    to.baddbmm_(of, in.narrow(0, b, count));
  });

  // A carry that crosses a whole block arrives in its last row, decayed.
  const std::vector<at::Tensor> last = out.select(1, kBlock - 1).unbind(0);
  bool carried = false;
  for (int64_t b = 1; b < blocks; ++b) {
    const float through = p.c[(b + 1) * kBlock - 1];
    carried = carried || p.c[b * kBlock] != 0;
    if (through != 0) last[b].add_(last[b - 1], through);
  }
  if (carried) {
    const at::Tensor carry =
        out.select(1, kBlock - 1).narrow(0, 0, blocks - 1).unsqueeze(1).clone();
    out.narrow(0, 1, blocks - 1)
        .narrow(1, 0, kBlock - 1)
        .addcmul_(c.narrow(0, 1, blocks - 1).narrow(1, 0, kBlock - 1), carry);
  }

  out = out.view({blocks * kBlock, n}).narrow(0, 0, rows);
  at::Tensor moved = states;
  moved.index_copy_(0, to_device(p.end_slots, states),
                    out.index_select(0, to_device(p.ends, states)));
  if (!order.defined()) return out;
  at::Tensor as_given = at::empty({rows, n}, states.options());
  return as_given.index_copy_(0, order, out);
}

}  // namespace fdqc
