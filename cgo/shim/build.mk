# The shim: a make fragment for the top-level Makefile.
#
# Reads  LIBTORCH  folder of LibTorch with include/ and lib/
#        BUILD     folder for what is built (build)
# Offers shim            $(BUILD)/libfdqc.so and $(BUILD)/libfdqc_faults.so
#        shim-bench      builds and runs a benchmark of matching alone
#        tree-bench      the same of the tree beside the sweep
#        shim-test       builds and runs the C++ tests
#        shim-test-asan  the same under AddressSanitizer
#        shim-test-kernels  compiles the CUDA kernels with the NVRTC in FDQC_NVRTC
#        shim-count      $(BUILD)/shim_count, which judges under callgrind

BUILD ?= build

SHIM_DIR := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
SHIM_SOURCES := $(wildcard $(SHIM_DIR)/*.cc)
SHIM_TESTS := $(wildcard $(SHIM_DIR)/tests/*.cc)
SHIM_OUT := $(BUILD)/shim

# No contraction: which pattern is nearest is defined by sums that round twice.
SHIM_CXXFLAGS := -std=c++17 -O3 -ffp-contract=off -fPIC \
	-fvisibility=hidden -pthread \
	-Wall -Wextra -Werror -D_GLIBCXX_USE_CXX11_ABI=1 -MMD -MP \
	-I$(SHIM_DIR) -I$(SHIM_OUT) -isystem $(LIBTORCH)/include \
	-isystem $(LIBTORCH)/include/torch/csrc/api/include
# --no-as-needed: a test that names only templates still needs the library.
# --disable-new-dtags is some linkers' default; RUNPATH is what cgo/torch reads.
# Debian has Highway as a shared library only: libhwy1 where the shim runs.
SHIM_LIBS := -L$(LIBTORCH)/lib -Wl,--no-as-needed -ltorch_cpu -lc10 \
	-Wl,--as-needed -lhwy -ldl -pthread
SHIM_RUNPATH := -Wl,--enable-new-dtags,-rpath,$(LIBTORCH)/lib
# What LibTorch itself needs lies outside its lib folder and is found by its
# own run paths; the linker need not look.
SHIM_LINK := -Wl,--allow-shlib-undefined
SHIM_ASAN := -O1 -g -fno-omit-frame-pointer -fsanitize=address

SHIM_OBJECTS := $(SHIM_SOURCES:$(SHIM_DIR)/%.cc=$(SHIM_OUT)/plain/%.o)
SHIM_FAULT_OBJECTS := $(SHIM_SOURCES:$(SHIM_DIR)/%.cc=$(SHIM_OUT)/faults/%.o)
SHIM_TEST_OBJECTS := $(SHIM_TESTS:$(SHIM_DIR)/%.cc=$(SHIM_OUT)/faults/%.o)
SHIM_ASAN_OBJECTS := $(SHIM_SOURCES:$(SHIM_DIR)/%.cc=$(SHIM_OUT)/asan/%.o) \
	$(SHIM_TESTS:$(SHIM_DIR)/%.cc=$(SHIM_OUT)/asan/%.o)

# Objects are made anew when LibTorch or the flags are others than before.
SHIM_STAMP := $(SHIM_OUT)/flags
SHIM_STAMP_TEXT := $(CXX) $(SHIM_CXXFLAGS) $(SHIM_LIBS)
ifneq ($(shell cat $(SHIM_STAMP) 2>/dev/null),$(strip $(SHIM_STAMP_TEXT)))
.PHONY: $(SHIM_STAMP)
endif

$(SHIM_STAMP):
	@mkdir -p $(@D)
	@printf '%s\n' '$(strip $(SHIM_STAMP_TEXT))' > $@

$(SHIM_OUT)/plain/%.o: $(SHIM_DIR)/%.cc $(SHIM_STAMP)
	@mkdir -p $(@D)
	$(CXX) $(SHIM_CXXFLAGS) -c $< -o $@

# Only what the guard is in differs, but every file has the guard in it.
$(SHIM_OUT)/faults/%.o: $(SHIM_DIR)/%.cc $(SHIM_STAMP)
	@mkdir -p $(@D)
	$(CXX) $(SHIM_CXXFLAGS) -DFDQC_FAULTS -c $< -o $@

$(SHIM_OUT)/asan/%.o: $(SHIM_DIR)/%.cc $(SHIM_STAMP)
	@mkdir -p $(@D)
	$(CXX) $(SHIM_CXXFLAGS) $(SHIM_ASAN) -DFDQC_FAULTS -c $< -o $@

# The text of the CUDA kernels, which a GPU's own compiler gets at run time.
$(SHIM_OUT)/%.inc: $(SHIM_DIR)/cuda/%
	@mkdir -p $(@D)
	@{ printf 'R"cuda('; cat $<; printf ')cuda"\n'; } > $@

$(foreach build,plain faults asan,$(SHIM_OUT)/$(build)/nvrtc.o): \
	$(SHIM_OUT)/validate.cu.inc $(SHIM_OUT)/arguments.h.inc

SHIM_SO_FLAGS = -shared -pthread $(SHIM_RUNPATH) $(SHIM_LINK) \
	-Wl,--version-script=$(SHIM_DIR)/exports.map -Wl,-z,defs \
	-Wl,-soname,$(@F)

$(BUILD)/libfdqc.so: $(SHIM_OBJECTS) $(SHIM_DIR)/exports.map
	$(CXX) $(SHIM_SO_FLAGS) $(SHIM_OBJECTS) $(SHIM_LIBS) -o $@.new
	mv $@.new $@

$(BUILD)/libfdqc_faults.so: $(SHIM_FAULT_OBJECTS) $(SHIM_DIR)/exports.map
	$(CXX) $(SHIM_SO_FLAGS) $(SHIM_FAULT_OBJECTS) $(SHIM_LIBS) -o $@.new
	mv $@.new $@

$(BUILD)/shim_tests: $(SHIM_FAULT_OBJECTS) $(SHIM_TEST_OBJECTS)
	$(CXX) $^ $(SHIM_RUNPATH) $(SHIM_LINK) $(SHIM_LIBS) -lgtest -lgtest_main \
		-o $@

$(BUILD)/shim_tests_asan: $(SHIM_ASAN_OBJECTS)
	$(CXX) -fsanitize=address $^ $(SHIM_RUNPATH) $(SHIM_LINK) $(SHIM_LIBS) \
		-lgtest -lgtest_main -o $@

# Opens the shim as Go does; needs the headers of valgrind.
$(BUILD)/shim_count: $(SHIM_DIR)/bench/count_main.cc $(SHIM_DIR)/fdqc.h
	$(CXX) -std=c++17 -O2 -Wall -Wextra -Werror -I$(SHIM_DIR) $< -ldl -o $@

# Matching needs no LibTorch.
SHIM_MATCH_OBJECTS := $(patsubst %,$(SHIM_OUT)/plain/%.o,side_index \
	match_boxes match_small match_wide partition side_boxes side_tree tree \
	tree_search)
SHIM_BENCH_OBJECTS := $(patsubst %,$(SHIM_OUT)/plain/bench/%.o,match_bench \
	roof tree_bench)

$(BUILD)/match_bench: $(SHIM_OUT)/plain/bench/match_bench.o \
		$(SHIM_OUT)/plain/bench/roof.o $(SHIM_MATCH_OBJECTS)
	$(CXX) $^ -lhwy -pthread -o $@

$(BUILD)/tree_bench: $(SHIM_OUT)/plain/bench/tree_bench.o \
		$(SHIM_MATCH_OBJECTS)
	$(CXX) $^ -lhwy -pthread -o $@

.PHONY: shim shim-bench tree-bench shim-test shim-test-asan shim-test-kernels \
	shim-count
shim-count: $(BUILD)/shim_count

shim: $(BUILD)/libfdqc.so $(BUILD)/libfdqc_faults.so

shim-bench: $(BUILD)/match_bench
	$(BUILD)/match_bench

tree-bench: $(BUILD)/tree_bench
	$(BUILD)/tree_bench

# What needs NVRTC has a target of its own: a test never skips here.
SHIM_NVRTC_TESTS := NvrtcCompiles.*

shim-test: $(BUILD)/shim_tests
	$(BUILD)/shim_tests --gtest_brief=1 --gtest_filter=-$(SHIM_NVRTC_TESTS)

shim-test-kernels: $(BUILD)/shim_tests
	$(BUILD)/shim_tests --gtest_brief=1 --gtest_filter='$(SHIM_NVRTC_TESTS)'

# A test asks for more memory than there is: the allocator must say so as
# malloc does, not end the program.
shim-test-asan: $(BUILD)/shim_tests_asan
	ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1 \
	$(BUILD)/shim_tests_asan --gtest_brief=1 --gtest_filter=-$(SHIM_NVRTC_TESTS)

-include $(SHIM_OBJECTS:.o=.d) $(SHIM_FAULT_OBJECTS:.o=.d) \
	$(SHIM_TEST_OBJECTS:.o=.d) $(SHIM_ASAN_OBJECTS:.o=.d) \
	$(SHIM_BENCH_OBJECTS:.o=.d)
