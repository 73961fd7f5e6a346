// What the tests of the table share.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "fdqc.h"

inline const fdqc_table& table() { return *fdqc_api(FDQC_ABI_VERSION); }

// What a call answered: 0 and "" when it succeeded. Frees the status.
struct Answer {
  explicit Answer(fdqc_status* status) {
    if (status == nullptr) return;
    code = status->code;
    message = status->message;
    table().status_free(status);
  }
  int32_t code = 0;
  std::string message;
};

#define EXPECT_OK(call)                                     \
  do {                                                      \
    const Answer answer(call);                              \
    EXPECT_EQ(answer.code, 0) << #call << ": " << answer.message; \
  } while (false)

#define EXPECT_FAILS(call, want_code, want_text)                        \
  do {                                                                  \
    const Answer answer(call);                                          \
    EXPECT_EQ(answer.code, want_code) << #call << ": " << answer.message; \
    EXPECT_NE(answer.message.find(want_text), std::string::npos)        \
        << #call << ": got \"" << answer.message << "\", want it to say \"" \
        << want_text << '"';                                            \
  } while (false)

inline int64_t live() {
  int64_t count = -1;
  EXPECT_OK(table().live_handles(&count));
  return count;
}
