// Experts in packed files: where their matrices lie, what a step reads of them, and files that lie about them.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "opened_file.h"
#include "random_model.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

constexpr uint64_t kPage = 4096;

SynthSpec shared_spec() {
  SynthSpec spec = expert_spec("experts", ExpertGating::sigmoid);
  spec.config.n_shared_experts = 1;
  return spec;
}

bool is_stack(std::string_view name) { return name.ends_with("_exps.weight"); }

// What a file of experts says, to be falsified.
struct Packed {
  std::vector<std::string> names, types;
  std::vector<uint32_t> rows, cols, matrices;
  std::vector<Bytes> data;

  size_t index(const std::string& name) const {
    return size_t(std::find(names.begin(), names.end(), name) - names.begin());
  }
};

// The file again, after `edit`; a tensor without bytes is left out.
Bytes rewritten(const Bytes& file, const std::function<void(Packed*)>& edit,
                const std::function<void(GgufWriter*)>& finish = {}) {
  const OpenedFile in(file, true);
  GgufWriter out(kPage);
  Packed packed;
  for (size_t i = 0; i < in.file.n_meta(); ++i) out.add_entry(in.file.meta(i));
  for (size_t i = 0; i < in.file.n_tensors(); ++i) {
    const TensorEntry& t = in.file.tensor(i);
    packed.names.emplace_back(t.name);
    packed.types.push_back(t.is_vector ? "vector" : weight_type_name(t.packed_type));
    packed.rows.push_back(t.rows);
    packed.cols.push_back(t.cols);
    packed.matrices.push_back(t.n_matrices);
    packed.data.emplace_back(t.data, t.data + t.bytes);
  }
  edit(&packed);
  out.add_array_of_strings("pith.packed.names", packed.names);
  out.add_array_of_strings("pith.packed.types", packed.types);
  out.add_array_u32("pith.packed.rows", packed.rows);
  out.add_array_u32("pith.packed.cols", packed.cols);
  out.add_array_u32("pith.packed.matrices", packed.matrices);
  if (finish) finish(&out);
  for (size_t i = 0; i < packed.names.size(); ++i) {
    const bool is_vector = packed.types[i] == "vector";
    const uint64_t n = packed.data[i].size() / (is_vector ? 4 : 1);
    if (n > 0) out.add_tensor(packed.names[i], is_vector ? TensorType::f32 : TensorType::i8, {n}, packed.data[i]);
  }
  return out.bytes();
}

std::string refusal(const Bytes& file) {
  const Block bytes = block_of(file.data(), file.size());
  pith_error error{};
  size_t size = 0;
  pith_status status = pith_model_bytes(bytes.get(), file.size(), &size, &error);
  const Block memory = block_of(size);
  pith_model* model = nullptr;
  if (status == PITH_OK) status = pith_model_init(bytes.get(), file.size(), memory.get(), size, &model, &error);
  return status == PITH_OK ? "" : error.message;
}

}  // namespace

TEST_CASE("every matrix of a stack is a run of whole pages, padded with zeros") {
  for (const char* type : {"q4", "q4m", "q8", "f32"}) {
    CAPTURE(type);
    const RandomModel model(shared_spec(), 3);
    const OpenedFile in(model.packed(type), true);
    const uint8_t* begin = static_cast<const uint8_t*>(in.bytes.get());
    size_t n_stacks = 0;
    for (size_t i = 0; i < in.file.n_tensors(); ++i) {
      const TensorEntry& t = in.file.tensor(i);
      CAPTURE(std::string(t.name));
      CHECK(uint64_t(t.data - begin) % kPage == 0);
      if (t.name.ends_with("ffn_gate_inp.weight")) CHECK(t.packed_type == WeightType::f32);
      if (!is_stack(t.name)) {
        CHECK(t.n_matrices == 1);
        continue;
      }
      ++n_stacks;
      CHECK(t.n_matrices == 8);
      CHECK(t.rows == 8 * (t.name.ends_with("down_exps.weight") ? 48u : 40u));
      const size_t used = packed_bytes(t.packed_type, t.rows / 8, t.cols), stride = t.bytes / 8;
      CHECK(stride % kPage == 0);
      CHECK(stride - used < kPage);
      for (size_t m = 0; m < 8; ++m) {
        for (size_t at = m * stride + used; at < (m + 1) * stride; ++at) REQUIRE(t.data[at] == 0);
      }
    }
    CHECK(n_stacks == 2 * 3);  // of two layers
  }
}

TEST_CASE("a matrix of a stack is packed as it is by itself") {
  SynthSpec spec = shared_spec();
  const RandomModel model(spec, 5);
  const OpenedFile floats(model.floats, false), packed(model.packed("q4"), true);
  for (const char* name : {"blk.1.ffn_gate_exps.weight", "blk.2.ffn_down_exps.weight"}) {
    const TensorEntry &f = *floats.file.find_tensor(std::string_view(name)),
                      &p = *packed.file.find_tensor(std::string_view(name));
    const int64_t rows = int64_t(f.dims[1]), cols = int64_t(f.dims[0]);
    for (uint64_t m = 0; m < f.dims[2]; ++m) {
      Bytes alone(packed_bytes(WeightType::q4, rows, cols));
      const float* matrix = reinterpret_cast<const float*>(f.data) + m * uint64_t(rows * cols);
      REQUIRE(pack_matrix(WeightType::q4, matrix, rows, cols, alone.data()));
      CHECK(std::equal(alone.begin(), alone.end(), p.data + m * (p.bytes / f.dims[2])));
    }
  }
}

TEST_CASE("a step reads the dense part and the chosen experts") {
  const RandomModel model(shared_spec(), 1);
  const Bytes file = model.packed("q4");
  const OpenedFile in(file, true);
  const Runtime runtime(file);
  uint64_t dense = 0, experts = 0;
  for (size_t i = 0; i < in.file.n_tensors(); ++i)
    (is_stack(in.file.tensor(i).name) ? experts : dense) += in.file.tensor(i).bytes;
  const pith_model_info info = runtime.model.info();
  CHECK(info.n_experts == 8);
  CHECK(info.n_used_experts == 2);
  CHECK(info.expert_bytes == experts);
  CHECK(info.step_expert_bytes == experts / 8 * 2);
  CHECK(info.step_weight_bytes == dense + experts / 8 * 2);
  CHECK(info.weight_bytes == dense + experts);
}

namespace {

// Memory of whole pages that may be closed.
struct Pages {
  explicit Pages(const Bytes& file)
      : bytes(file.size()),
        first(
            static_cast<uint8_t*>(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    REQUIRE(first != MAP_FAILED);
    std::memcpy(first, file.data(), bytes);
  }
  ~Pages() { ::munmap(first, bytes); }
  void close(const void* begin, size_t n) const { REQUIRE(::mprotect(const_cast<void*>(begin), n, PROT_NONE) == 0); }

  size_t bytes;
  uint8_t* first;
};

// The matrices of one expert of a layer.
std::vector<std::span<uint8_t>> matrices_of(const Model& model, int32_t layer, uint64_t expert) {
  std::vector<std::span<uint8_t>> out;
  const Layer& w = model.get()->weights.layers[layer];
  for (const LinearStack* stack : {&w.expert_gate, &w.expert_up, &w.expert_down})
    out.emplace_back(const_cast<uint8_t*>(stack->at(int32_t(expert)).w), stack->stride);
  return out;
}

}  // namespace

TEST_CASE("a step touches the pages of the chosen experts and of no other") {
  const RandomModel random(shared_spec(), std::random_device{}());
  CAPTURE(random.spec.seed);
  const Bytes file = random.packed("q4");
  const int32_t token = random.random_ids(1)[0];
  const auto step = [&](const Model& model) {
    pith_session_options options = session_options();
    options.max_threads = 1;  // the child of a fork has no others
    Session session(model, options);
    const Result<void> done = session.try_eval(token);
    return done ? std::vector<float>(session.logits().begin(), session.logits().end()) : std::vector<float>();
  };
  const Pages pages(file);
  const Model model = Model::view(pages.first, pages.bytes);
  const std::vector<float> expected = step(model);
  REQUIRE(!expected.empty());
  const Config& c = random.spec.config;
  std::vector<std::span<uint8_t>> chosen, others;
  for (int32_t layer = c.n_dense_layers; layer < c.n_layers; ++layer) {
    for (uint64_t expert = 0; expert < uint64_t(c.n_experts); ++expert) {
      const Pages spoiled(file);
      const Model other = Model::view(spoiled.first, spoiled.bytes);
      for (const std::span<uint8_t> matrix : matrices_of(other, layer, expert))
        std::memset(matrix.data(), 0xff, matrix.size());  // scales that are not numbers
      std::vector<std::span<uint8_t>>& list = step(other).empty() ? chosen : others;
      for (const std::span<uint8_t> matrix : matrices_of(model, layer, expert)) list.push_back(matrix);
    }
  }
  REQUIRE(chosen.size() == size_t(3 * (c.n_layers - c.n_dense_layers) * c.n_used_experts));
  for (const std::span<uint8_t> matrix : others) pages.close(matrix.data(), matrix.size());
  CHECK(same_bits(step(model), expected));
  // The control: a step that needs a closed page ends its process.
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);  // doctest would report it
    pages.close(chosen[0].data(), chosen[0].size());
    ::_exit(step(model).empty() ? 1 : 0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("files that lie about experts are refused by name") {
  const RandomModel model(shared_spec(), 1);
  const Bytes good = model.packed("q4");
  const std::string gate = "blk.1.ffn_gate_exps.weight", router = "blk.1.ffn_gate_inp.weight";
  const auto refused = [&](const std::function<void(Packed*)>& edit) { return refusal(rewritten(good, edit)); };
  const auto with = [&](const std::function<void(GgufWriter*)>& finish) {
    return refusal(rewritten(
        good, [](Packed*) {}, finish));
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  };
  CHECK(refused([](Packed*) {}) == "");  // the control of all that follow
  for (const uint32_t n : {0u, 3u, 7u, 1025u, 1u << 30, ~0u})
    contains(refused([&](Packed* p) { p->matrices[p->index(gate)] = n; }), "tensor " + gate);
  for (const uint32_t n : {1u, 2u, 4u, 16u})  // that divide the rows
    contains(refused([&](Packed* p) { p->matrices[p->index(gate)] = n; }), "tensor " + gate);
  contains(refused([&](Packed* p) { p->matrices[p->index("output_norm.weight")] = 2; }), "tensor output_norm.weight");
  contains(refused([&](Packed* p) { p->data[p->index(gate)].resize(kPage); }), "tensor " + gate);
  contains(refused([&](Packed* p) { p->rows[p->index(gate)] = 1u << 30; }), "tensor " + gate);
  contains(refused([&](Packed* p) {
             p->rows[p->index(gate)] = p->cols[p->index(gate)] = 1u << 30;
             p->matrices[p->index(gate)] = 1024;
           }),
           "tensor " + gate);
  contains(refused([&](Packed* p) { p->names[p->index(gate)] = "blk.1.ffn_gate_exp.weight"; }),
           "tensor " + gate + ": missing");
  contains(refused([&](Packed* p) {
             const size_t i = p->index(router);
             p->types[i] = "q8";
             p->data[i].resize(packed_bytes(WeightType::q8, 8, 48));
           }),
           "tensor " + router + ": a router must be packed as f32");
  contains(with([](GgufWriter* out) { out->add_array_u32("pith.packed.matrices", {1}); }), "pith.packed.matrices");
  contains(with([](GgufWriter* out) { out->add_u32("pith.packed.matrices", 1); }), "pith.packed.matrices");
  contains(with([](GgufWriter* out) { out->add_u32("egmla.expert_count", 4); }), "tensor blk.1.ffn_gate_inp.weight");
  contains(with([](GgufWriter* out) { out->add_u32("egmla.expert_count", 16); }), "tensor blk.1.ffn_gate_inp.weight");
  contains(with([](GgufWriter* out) { out->add_u32("egmla.expert_feed_forward_length", 48); }), "_exps.weight");
  contains(with([](GgufWriter* out) { out->add_u32("egmla.expert_shared_count", 2); }), "_shexp.weight");
  contains(with([](GgufWriter* out) { out->add_u32("egmla.leading_dense_block_count", 2); }), "tensor blk.1.");
  contains(with([](GgufWriter* out) { out->add_u32("egmla.expert_count", 0); }), "tensor blk.1.");
}
