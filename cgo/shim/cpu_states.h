// The states of the sessions on the CPU. No LibTorch in here.
#pragma once

#include <cstdint>
#include <vector>

namespace fdqc::cpu {

// One state_real a slot; state_imag never moves, so one serves all slots.
class States {
 public:
  // The loaded state, [n] each; copied. Slot 0 starts as it, every other slot
  // too when it is first named.
  States(int64_t n, const float* real, const float* imag);
  // The same, with the states of the first slots, [slots, n].
  States(int64_t n, const float* real, const float* imag, int64_t slots,
         const float* states);

  int64_t n() const { return n_; }
  int64_t slots() const { return static_cast<int64_t>(number_.size()); }
  const float* loaded_real() const { return loaded_real_.data(); }
  const float* imag() const { return imag_.data(); }

  // [n], of any slot >= 0.
  const float* real(int64_t slot) const {
    return slot < slots() ? real_.data() + slot * n_ : loaded_real_.data();
  }

  // A batch in hand moves copies of the states that it names; they become the
  // states when it is done, and are forgotten when it fails.
  class Moving {
   public:
    // slots: [count], each >= 0, or NULL: all rows move slot 0. Throws
    // std::bad_alloc, and then no state has changed. One at a time.
    Moving(States& states, const int32_t* slots, int64_t count);
    ~Moving();
    Moving(const Moving&) = delete;
    Moving& operator=(const Moving&) = delete;

    float* of(int64_t slot) {
      return states_.copies_.data() + states_.number_[slot] * states_.n_;
    }
    void commit() noexcept;

    // Of whoever computes elsewhere: the slots in the order of their first
    // rows, the place of one among them, and their copies, [named, n].
    const std::vector<int32_t>& named() const { return states_.named_; }
    int32_t number(int64_t slot) const { return states_.number_[slot]; }
    float* copies() { return states_.copies_.data(); }

   private:
    States& states_;
  };

 private:
  void grow(int64_t slots);
  void forget() noexcept;

  int64_t n_;
  std::vector<float> loaded_real_, imag_;  // [n]
  std::vector<float> real_;                // [slots, n]
  // While a batch moves states; kept for the next one.
  std::vector<int32_t> named_;   // slots in the order of their first rows
  std::vector<int32_t> number_;  // [slots] place in named_, or -1
  std::vector<float> copies_;    // [named_.size(), n]
};

}  // namespace fdqc::cpu
