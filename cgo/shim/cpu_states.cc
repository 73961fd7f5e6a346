#include "cpu_states.h"

#include <algorithm>

namespace fdqc::cpu {

States::States(int64_t n, const float* real, const float* imag)
    : States(n, real, imag, 1, real) {}

States::States(int64_t n, const float* real, const float* imag, int64_t slots,
               const float* states)
    : n_(n),
      loaded_real_(real, real + n),
      imag_(imag, imag + n),
      real_(states, states + slots * n),
      number_(slots, -1) {}

void States::grow(int64_t wanted) {
  const int64_t have = slots();
  if (wanted <= have) return;
  const int64_t room = std::max(wanted, 2 * have);
  real_.reserve(room * n_);
  number_.resize(room, -1);  // the last step that can fail
  for (int64_t i = have; i < room; ++i) {
    real_.insert(real_.end(), loaded_real_.begin(), loaded_real_.end());
  }
}

void States::forget() noexcept {
  for (const int32_t slot : named_) number_[slot] = -1;
  named_.clear();
}

States::Moving::Moving(States& states, const int32_t* slots, int64_t count)
    : states_(states) {
  const int64_t n = states.n_;
  const int64_t rows = slots == nullptr ? 1 : count;
  if (slots != nullptr) {
    states.grow(int64_t{*std::max_element(slots, slots + count)} + 1);
  }
  states.named_.reserve(std::min(rows, states.slots()));
  for (int64_t i = 0; i < rows; ++i) {
    const int32_t slot = slots == nullptr ? 0 : slots[i];
    int32_t& number = states.number_[slot];
    if (number >= 0) continue;
    number = static_cast<int32_t>(states.named_.size());
    states.named_.push_back(slot);
  }
  try {
    states.copies_.resize(states.named_.size() * n);
  } catch (...) {
    states.forget();
    throw;
  }
  float* to = states.copies_.data();
  for (const int32_t slot : states.named_) {
    to = std::copy_n(states.real(slot), n, to);
  }
}

States::Moving::~Moving() { states_.forget(); }

void States::Moving::commit() noexcept {
  const float* from = states_.copies_.data();
  for (const int32_t slot : states_.named_) {
    std::copy_n(from, states_.n_, states_.real_.data() + slot * states_.n_);
    from += states_.n_;
  }
}

}  // namespace fdqc::cpu
