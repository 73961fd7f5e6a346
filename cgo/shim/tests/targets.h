// A test on every vector instruction set of this machine.
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <functional>
#include <string>

namespace fdqc {

inline void use_target(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Calls body with the name of each, until one fails.
inline void on_each_target(
    const std::function<void(const std::string&)>& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    use_target(target);
    body(hwy::TargetName(target));
    use_target(0);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace fdqc
