#include "partition.h"

#include <algorithm>

namespace fdqc {

Partition::Partition(const float* rows, int64_t stride, int64_t count,
                     int64_t columns, const std::atomic<bool>& cancel)
    : rows_(rows), stride_(stride), columns_(columns), cancel_(cancel),
      keys_(count) {
  for (int64_t i = 0; i < count; ++i) keys_[i].row = static_cast<int32_t>(i);
}

bool Partition::cut(int64_t leaf, int64_t fan) {
  const int64_t count = static_cast<int64_t>(keys_.size());
  int64_t unit = leaf;
  while (unit * fan < count) unit *= fan;
  return cut(0, count, unit, leaf, fan);
}

// Positions [from, to), for nodes whose children hold `unit` each.
bool Partition::cut(int64_t from, int64_t to, int64_t unit, int64_t leaf,
                    int64_t fan) {
  if (cancel_.load(std::memory_order_relaxed)) return false;
  while (to - from <= unit) {
    if (unit == leaf) return true;
    unit /= fan;
  }
  const int64_t units = (to - from + unit - 1) / unit;
  const int64_t middle = from + units / 2 * unit;
  const int64_t column = widest(from, to);
  for (int64_t i = from; i < to; ++i) {
    keys_[i].value = rows_[keys_[i].row * stride_ + column];
  }
  std::nth_element(keys_.begin() + from, keys_.begin() + middle,
                   keys_.begin() + to);
  return cut(from, middle, unit, leaf, fan) && cut(middle, to, unit, leaf, fan);
}

// The column of the largest variance among some of the patterns.
int64_t Partition::widest(int64_t from, int64_t to) const {
  constexpr int64_t kSample = 256;
  const int64_t step = (to - from + kSample - 1) / kSample;
  int64_t best = 0;
  double most = -1;
  for (int64_t k = 0; k < columns_; ++k) {
    double sum = 0, squares = 0;
    const double origin =
        static_cast<double>(rows_[keys_[from].row * stride_ + k]);
    int64_t taken = 0;
    for (int64_t i = from; i < to; i += step, ++taken) {
      const double x =
          static_cast<double>(rows_[keys_[i].row * stride_ + k]) - origin;
      sum += x;
      squares += x * x;
    }
    const double varies = squares - sum * sum / static_cast<double>(taken);
    if (varies > most) most = varies, best = k;
  }
  return best;
}

}  // namespace fdqc
