// Chat templates: what stands around the texts, what continues a conversation, and that no text of a user's becomes a
// mark. tests/python/test_chat_template.py compares whole conversations with the published templates.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "pith/pith.hpp"
#include "text/chat_template.h"
#include "vocabulary.h"

using namespace pith::test;

namespace {

using pith::Message;

const std::vector<std::string> kMarks = {"<s>",
                                         "</s>",
                                         "<|im_start|>",
                                         "<|im_end|>",
                                         "<|eot_id|>",
                                         "<|user|>",
                                         "<|start_header_id|>",
                                         "<|end_header_id|>",
                                         "<｜User｜>",
                                         "<｜Assistant｜>",
                                         "<｜end▁of▁sentence｜>",
                                         "[gMASK]",
                                         "<sop>",
                                         "<|system|>",
                                         "<|assistant|>",
                                         "<|User|>",
                                         "<|Assistant|>",
                                         "<|end_of_text|>",
                                         "<用户>",
                                         "<AI>"};

// Every byte is a token, and the marks are.
RawGguf file_with(const std::vector<std::string>& marks, const std::string& chat_template = {}) {
  RawVocabulary vocabulary;
  for (const std::string& mark : marks) {
    vocabulary.tokens.push_back(mark);
    vocabulary.types.push_back(3);
  }
  RawGguf file = vocabulary.file();
  if (marks.size() >= 2) {
    file.set_u32("tokenizer.ggml.bos_token_id", 257);
    file.set_u32("tokenizer.ggml.eos_token_id", 258);
  }
  if (!chat_template.empty()) file.set_string("tokenizer.chat_template", chat_template);
  return file;
}

struct LoadedChat {
  Loaded loaded;
  pith_chat chat{};
  pith_status status;
  pith_error error{};

  explicit LoadedChat(const RawGguf& file, const std::string& name = {}, const std::string& date = {}) : loaded(file) {
    REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
    status = chat.chat.init(loaded.file, *loaded.tokenizer, name, date, &error);
  }
  Ids encode(const std::vector<Message>& messages, uint32_t flags) const {
    REQUIRE_MESSAGE(status == PITH_OK, error.message);
    std::vector<pith_message> list;
    for (const Message& m : messages) list.push_back({uint32_t(m.role), 0, m.content.data(), m.content.size()});
    const size_t n_work = pith_chat_work_bytes(&chat, list.data(), list.size(), flags);
    const Block work = block_of(n_work + 1);
    size_t count = 0;
    pith_status wanted = PITH_E_CAPACITY;
    Ids ids;
    pith_error e;
    if (pith_chat_encode(&chat, list.data(), list.size(), flags, nullptr, 0, &count, work.get(), n_work, &e) == PITH_OK)
      wanted = PITH_OK;
    ids.resize(count);
    REQUIRE((wanted == PITH_OK) == (count == 0));
    REQUIRE(pith_chat_encode(&chat, list.data(), list.size(), flags, ids.data(), count, &count, work.get(), n_work,
                             &e) == PITH_OK);
    REQUIRE(count == ids.size());
    if (n_work > 0)
      CHECK(pith_chat_encode(&chat, list.data(), list.size(), flags, ids.data(), count, &count, work.get(), n_work - 1,
                             &e) == PITH_E_MEMORY);
    return ids;
  }
  // The ids as text, marks between guillemets.
  std::string shown(const Ids& ids) const {
    std::string out;
    for (const int32_t id : ids) {
      if (id < 257) out += loaded.tokenizer->decode(id);
      else out += "«" + kMarks[size_t(id) - 257] + "»";
    }
    return out;
  }
  std::string text(const std::vector<Message>& messages, uint32_t flags) const {
    return shown(encode(messages, flags));
  }
};

const std::vector<Message> kTalk = {{PITH_ROLE_SYSTEM, " Be brief."},
                                    {PITH_ROLE_USER, "Hi\n"},
                                    {PITH_ROLE_ASSISTANT, "Hello!"},
                                    {PITH_ROLE_USER, "Who?"}};

}  // namespace

TEST_CASE("chat: what stands around the texts") {
  const struct {
    const char *name, *text;
  } cases[] = {
      {"chatml",
       "«<|im_start|>»system\n Be brief.«<|im_end|>»\n«<|im_start|>»user\nHi\n«<|im_end|>»\n«<|im_start|>»assistant\n"
       "Hello!«<|im_end|>»\n«<|im_start|>»user\nWho?«<|im_end|>»\n«<|im_start|>»assistant\n"},
      {"llama3",
       "«<s>»«<|start_header_id|>»system«<|end_header_id|>»\n\nBe brief.«<|eot_id|>»«<|start_header_id|>»user"
       "«<|end_header_id|>»\n\nHi«<|eot_id|>»«<|start_header_id|>»assistant«<|end_header_id|>»\n\nHello!«<|eot_id|>»"
       "«<|start_header_id|>»user«<|end_header_id|>»\n\nWho?«<|eot_id|>»«<|start_header_id|>»assistant"
       "«<|end_header_id|>»\n\n"},
      {"llama2", "«<s>»[INST] <<SYS>>\n Be brief.\n<</SYS>>\n\nHi [/INST] Hello! «</s>»«<s>»[INST] Who? [/INST]"},
      {"mistral", "«<s>»[INST]  Be brief.\n\nHi\n [/INST]Hello!«</s>»[INST] Who? [/INST]"},
      {"deepseek-v2", "«<s>» Be brief.\n\nUser: Hi\n\n\nAssistant: Hello!«</s>»User: Who?\n\nAssistant:"},
      {"deepseek-v3",
       "«<s>» Be "
       "brief.«<｜User｜>»Hi\n«<｜Assistant｜>»Hello!«<｜end▁of▁sentence｜>»«<｜User｜>»Who?«<｜Assistant｜>»"},
      {"deepseek-r1",
       "«<s>» Be brief.«<｜User｜>»Hi\n«<｜Assistant｜>»Hello!«<｜end▁of▁sentence｜>»«<｜User｜>»Who?«<｜Assistant｜>»"
       "<think>\n"},
      {"glm4",
       "«[gMASK]»«<sop>»«<|system|>»\n Be brief.«<|user|>»\nHi\n«<|assistant|>»\nHello!«<|user|>»\nWho?"
       "«<|assistant|>»\n"},
      {"zephyr",
       "«<|system|>»\n Be brief.«</s>»\n«<|user|>»\nHi\n«</s>»\n«<|assistant|>»\nHello!«</s>»\n«<|user|>»\nWho?«</s>»\n"
       "«<|assistant|>»\n"},
      {"minicpm", "Be brief.«<用户>»Hi«<AI>»Hello!«<用户>»Who?«<AI>»"},
      {"youtu", "«<s>» Be brief.«<|User|>»Hi\n«<|Assistant|>»Hello!«<|end_of_text|>»«<|User|>»Who?«<|Assistant|>»"},
  };
  for (const auto& c : cases) {
    const LoadedChat chat(file_with(kMarks), c.name);
    CAPTURE(c.name);
    CHECK(chat.text(kTalk, PITH_CHAT_ANSWER) == c.text);
    CHECK(std::string(pith_chat_template(&chat.chat)) == c.name);
  }
}

TEST_CASE("chat: a system message of the family's own, dates and thoughts") {
  const std::vector<Message> question = {{PITH_ROLE_USER, "Hi"}};
  CHECK(LoadedChat(file_with(kMarks), "qwen2").text({}, 0) ==
        "«<|im_start|>»system\nYou are a helpful assistant.«<|im_end|>»\n");
  CHECK(LoadedChat(file_with(kMarks), "llama3.1").text(question, 0) ==
        "«<s>»«<|start_header_id|>»system«<|end_header_id|>»\n\nCutting Knowledge Date: December 2023\nToday Date: 26 "
        "Jul 2024\n\n«<|eot_id|>»«<|start_header_id|>»user«<|end_header_id|>»\n\nHi«<|eot_id|>»");
  CHECK(LoadedChat(file_with(kMarks), "llama3.1", "01 Jan 2030").text({}, 0).find("Today Date: 01 Jan 2030\n\n") !=
        std::string::npos);
  const LoadedChat qwen(file_with(kMarks), "qwen3");
  CHECK(qwen.text(question, PITH_CHAT_ANSWER) == "«<|im_start|>»user\nHi«<|im_end|>»\n«<|im_start|>»assistant\n");
  CHECK(qwen.text(question, PITH_CHAT_ANSWER | PITH_CHAT_NO_THOUGHT) ==
        "«<|im_start|>»user\nHi«<|im_end|>»\n«<|im_start|>»assistant\n<think>\n\n</think>\n\n");
  const Message thought = {PITH_ROLE_ASSISTANT, "<think>\nhm\n</think>\n\nYes"};
  CHECK(qwen.text({question[0], thought, question[0]}, 0) ==
        "«<|im_start|>»user\nHi«<|im_end|>»\n«<|im_start|>»assistant\nYes«<|im_end|>»\n«<|im_start|>»user\nHi«<|im_end|"
        ">»\n");
  CHECK(qwen.text({question[0], thought}, 0) ==
        "«<|im_start|>»user\nHi«<|im_end|>»\n«<|im_start|>»assistant\n<think>\nhm\n</think>\n\nYes«<|im_end|>»\n");
}

TEST_CASE("chat: turns one by one are the whole conversation") {
  const uint64_t seed = std::random_device()();
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  const std::string letters = "ab \n<|im_end|>é";
  const auto text = [&] {
    std::string out = "x";
    for (size_t n = random() % 12; n > 0; --n) out += letters[random() % letters.size()];
    return out + "y";
  };
  // Formats that neither trim nor drop thoughts.
  for (const char* name : {"chatml", "smollm2", "qwen2.5", "mistral", "deepseek-v2", "deepseek-v3", "glm4", "zephyr"}) {
    const LoadedChat chat(file_with(kMarks), name);
    for (int round = 0; round < 20; ++round) {
      CAPTURE(name);
      std::vector<Message> talk;
      if (random() % 2 != 0) talk.push_back({PITH_ROLE_SYSTEM, text()});
      talk.push_back({PITH_ROLE_USER, text()});
      Ids ids = chat.encode(talk, PITH_CHAT_ANSWER);
      for (size_t turn = random() % 4; turn > 0; --turn) {
        const Message answer = {PITH_ROLE_ASSISTANT, text()}, question = {PITH_ROLE_USER, text()};
        // What a model of DeepSeek-V2 draws begins with the blank that its mark of an answer lacks.
        const Ids drawn = chat.loaded.encode((std::string(name) == "deepseek-v2" ? " " : "") + answer.content);
        const Ids next = chat.encode({question}, PITH_CHAT_AFTER_ANSWER | PITH_CHAT_ANSWER);
        ids.insert(ids.end(), drawn.begin(), drawn.end());
        ids.insert(ids.end(), next.begin(), next.end());
        talk.push_back(answer);
        talk.push_back(question);
      }
      REQUIRE(chat.shown(ids) == chat.text(talk, PITH_CHAT_ANSWER));
    }
  }
}

TEST_CASE("chat: texts of a user's never become marks") {
  for (const std::string_view name : pith::chat_template_names()) {
    const LoadedChat chat(file_with(kMarks), std::string(name));
    CAPTURE(name);
    const auto marks = [&](const std::string& content) {
      const Ids ids = chat.encode({{PITH_ROLE_SYSTEM, content}, {PITH_ROLE_USER, content}}, PITH_CHAT_ANSWER);
      return std::count_if(ids.begin(), ids.end(), [](int32_t id) { return id >= 257; });
    };
    const auto expected = marks("plain");
    for (const std::string& mark : kMarks) {
      CHECK(marks(mark) == expected);
      CHECK(marks("x" + mark + mark + "\n") == expected);
    }
    CHECK(marks("\1\2\3") == expected);  // what formats have for tokens
    CHECK((expected > 0 || name == "zephyr"));
  }
}

TEST_CASE("chat: ends, and marks that the vocabulary lacks") {
  const LoadedChat with(file_with(kMarks), "chatml");
  CHECK(pith_chat_is_end(&with.chat, 258) == 1);  // end of text
  CHECK(pith_chat_is_end(&with.chat, 260) == 1);  // <|im_end|>
  CHECK(pith_chat_is_end(&with.chat, 259) == 0);
  CHECK(pith_chat_is_end(&with.chat, -1) == 0);
  CHECK(std::string(pith_chat_stop(&with.chat, 0)) == "<|endoftext|>");  // which is not among the marks
  CHECK(pith_chat_stop(&with.chat, 1) == nullptr);
  const LoadedChat without(file_with({"<s>", "</s>"}), "chatml");
  CHECK(without.text({{PITH_ROLE_USER, "Hi"}}, PITH_CHAT_ANSWER) ==
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  CHECK(std::string(pith_chat_stop(&without.chat, 0)) == "<|im_end|>");
  RawGguf file = file_with(kMarks);
  file.set_u32("tokenizer.ggml.eot_token_id", 270);
  const LoadedChat turned(file, "chatml");
  CHECK(pith_chat_is_end(&turned.chat, 270) == 1);
  CHECK(pith_chat_is_end(&turned.chat, INT32_MAX) == 0);
  // What ends an answer in the vocabulary does so in every family; the family's own ends beside it.
  const LoadedChat other(file_with(kMarks), "mistral");
  CHECK(pith_chat_is_end(&other.chat, 258) == 1);
  CHECK(pith_chat_is_end(&other.chat, 260) == 1);
  CHECK(pith_chat_is_end(&other.chat, 262) == 0);  // <|user|>
  const LoadedChat zephyr(file_with(kMarks), "zephyr");
  CHECK(pith_chat_is_end(&zephyr.chat, 262) == 1);
}

// Files that are converted in another way have the marks as tokens of a user's, which are found in any text.
TEST_CASE("chat: texts of a user's never become marks, though these are no special tokens") {
  for (const std::string_view name : pith::chat_template_names()) {
    const RawGguf special = file_with(kMarks);
    RawGguf plain = special;
    std::vector<int32_t> types(257 + kMarks.size(), 1);
    std::fill(types.begin() + 257, types.end(), 4);
    plain.set("tokenizer.ggml.token_type", kArray, number_array<int32_t>(kI32, types));
    const LoadedChat chat(plain, std::string(name)), wanted(special, std::string(name));
    CAPTURE(name);
    const ChatFamily& family = *find_chat_family(name);
    std::vector<std::string> marks = {"<s>", "</s>"};
    for (const std::string_view mark : family.markers) {
      if (!mark.empty() && mark.find("think") == std::string_view::npos) marks.emplace_back(mark);
    }
    for (const std::string_view mark : family.ends) {
      if (!mark.empty()) marks.emplace_back(mark);
    }
    for (const std::string& mark : marks) {
      const std::vector<Message> talk = {{PITH_ROLE_USER, mark + "x" + mark}, {PITH_ROLE_ASSISTANT, "y" + mark}};
      CHECK(chat.encode(talk, 0) == wanted.encode(talk, 0));
    }
    // The control: another family's mark is found, as in any text.
    const std::string other = name == "llama3" || name == "llama3.1" ? "[gMASK]" : "<|eot_id|>";
    CHECK(chat.encode({{PITH_ROLE_USER, other}}, 0).size() < wanted.encode({{PITH_ROLE_USER, other}}, 0).size());
  }
}

TEST_CASE("chat: a file's template says its family and its system message") {
  const std::string plain =
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
      "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  const LoadedChat chat(file_with(kMarks, plain));
  CHECK(chat.text({}, 0).empty());
  CHECK(std::string(pith_chat_template(&chat.chat)) == "chatml");
  // Other quotes, other words for the same, a line feed as it is.
  const std::string other =
      "{% for message in messages %}{{ \"<|im_start|>\"+message.role +\"\n\" + message[\"content\"] "
      "+\n\"<|im_end|>\\n\" "
      "}}{% endfor %}";
  CHECK(has_code(other, "'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>"));
  CHECK(!has_code(other, "'<|im_start|>'+message.role+message.content"));
  CHECK(!has_code("x", "xy"));
  const LoadedChat own(file_with(kMarks, "{{ '<|im_start|>system\\nIt\\'s\\n\\\\o/<|im_end|>\\n' }}" + plain));
  CHECK(own.text({}, 0) == "«<|im_start|>»system\nIt's\n\\o/«<|im_end|>»\n");
  CHECK(own.text({{PITH_ROLE_SYSTEM, "S"}}, 0) == "«<|im_start|>»system\nS«<|im_end|>»\n");
  // A token in front, where template or file say so.
  CHECK(LoadedChat(file_with(kMarks, "{{bos_token}}" + plain)).text({}, 0) == "«<s>»");
  RawGguf led = file_with(kMarks, plain);
  led.set("tokenizer.ggml.add_bos_token", kBool, {1});
  CHECK(LoadedChat(led).text({}, 0) == "«<s>»");
  CHECK(LoadedChat(led, "llama3").text({}, 0) == "«<s>»");  // once
  // What would change the result and is not understood is not taken for the family.
  for (const std::string& unknown : {std::string("{{ messages }}"), plain + "{{ x|trim }}", plain + "<think>"}) {
    const LoadedChat refused(file_with(kMarks, unknown));
    CHECK(refused.status == PITH_E_UNSUPPORTED);
    const std::string message = refused.error.message;
    for (const std::string_view name : pith::chat_template_names()) CHECK(message.find(name) != std::string::npos);
  }
  CHECK(LoadedChat(file_with(kMarks, plain + std::string(1 << 20, ' '))).status == PITH_E_UNSUPPORTED);
  CHECK(LoadedChat(file_with(kMarks)).status == PITH_E_MISSING);
  CHECK(LoadedChat(file_with(kMarks, "{{ messages }}"), "chatml").status == PITH_OK);
  const LoadedChat misnamed(file_with(kMarks), "chatmI");
  CHECK(misnamed.status == PITH_E_ARGUMENT);
  CHECK(std::string(misnamed.error.message).find("chatmI") != std::string::npos);
  CHECK(LoadedChat(file_with(kMarks), "llama3.1", std::string(32, '1')).status == PITH_E_ARGUMENT);
}

TEST_CASE("chat: a template that was made to cost time is recognised, or not, in linear time") {
  const std::string chatml = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}";
  const std::string units[] = {"'",
                               "\"",
                               "{",
                               "{{",
                               "{ ",
                               "[",
                               "['",
                               "['']",
                               "\\",
                               "'\\",
                               "\n",
                               " ",
                               "{{'",
                               "{%-",
                               "'<|im_start|>' + message.role + ",
                               "{{bos_token}}",
                               "{{ bos_token }}{{ ",
                               "'<|im_start|>system\n",
                               "\\'<|im_start|>system\n",
                               "\"<|im_start|>system\\n'",
                               "'<|im_start|>system\\n\\'",
                               "<|im_start|>system",
                               "\\'<|im_start|>system\n\""};
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& unit : units) {
    std::string text;
    while (text.size() + unit.size() + chatml.size() < kMaxChatTemplate) text += unit;
    CAPTURE(unit);
    for (const std::string& whole : {text, text + chatml, chatml + text + "<|im_end|>"}) {
      (void)recognise_chat_family(whole);
      (void)default_system_of(whole + "<|im_end|>");
    }
    const LoadedChat loaded(file_with(kMarks, chatml + text));
    CHECK((loaded.status == PITH_OK || loaded.status == PITH_E_UNSUPPORTED));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  MESSAGE((4 * std::size(units)), " templates of 1 MiB in ", seconds, " s");
  CHECK(seconds < 60);  // n^2 / 40 steps of 1 ns would take 27 s for one; room for sanitizers and emulators
}

TEST_CASE("chat: white space as Python's strip takes it") {
  // Of all characters below U+10000: str.isspace of Python 3.11 (Unicode 14).
  const std::set<uint32_t> spaces = {9,      10,     11,     12,     13,     28,     29,     30,     31,     32,
                                     0x85,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
                                     0x2007, 0x2008, 0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000};
  for (uint32_t c = 1; c < 0x10000; ++c) {
    std::string s;
    if (c < 0x80) s = {char(c)};
    else if (c < 0x800) s = {char(0xc0 | c >> 6), char(0x80 | (c & 63))};
    else s = {char(0xe0 | c >> 12), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
    const std::string text = s + " a" + s;
    if (pith::internal::strip(text) == (spaces.count(c) != 0 ? "a" : text)) continue;
    FAIL("character ", c);
  }
  CHECK(pith::internal::strip(" \n ").empty());
  CHECK(pith::internal::strip("").empty());
}

TEST_CASE("chat: what is refused, and the wrapper") {
  const LoadedChat chat(file_with(kMarks), "llama2");
  uint8_t work[4096];
  int32_t ids[64];
  size_t count = 0;
  pith_error error;
  const auto encode = [&](pith_message m, uint32_t flags = 0) {
    return pith_chat_encode(&chat.chat, &m, 1, flags, ids, 64, &count, work, sizeof work, &error);
  };
  CHECK(encode({1, 0, "a", 1}) == PITH_OK);
  CHECK(encode({3, 0, "a", 1}) == PITH_E_ARGUMENT);
  CHECK(std::string(error.message).find("role 3") != std::string::npos);
  CHECK(encode({1, 7, "a", 1}) == PITH_E_ARGUMENT);
  CHECK(encode({1, 0, nullptr, 1}) == PITH_E_ARGUMENT);
  CHECK(encode({1, 0, nullptr, 0}) == PITH_OK);
  CHECK(encode({1, 0, "a", size_t(1) << 40}) == PITH_E_ARGUMENT);
  CHECK(encode({1, 0, "a", 1}, 8) == PITH_E_ARGUMENT);
  const pith_message two[] = {{1, 0, "a", 1}, {0, 0, "late", 4}};
  CHECK(pith_chat_encode(&chat.chat, two, 2, 0, ids, 64, &count, work, sizeof work, &error) == PITH_E_ARGUMENT);
  CHECK(std::string(error.message).find("message 1") != std::string::npos);
  CHECK(pith_chat_work_bytes(&chat.chat, two, 2, 0) == 0);
  const pith::Model model = pith::Model::open(std::string(PITH_SOURCE_DIR) + "/tests/golden/tiny.q4.gguf");
  const pith::Tokenizer tokenizer(model);
  CHECK(pith::Chat::create(model, tokenizer).error().status() == PITH_E_MISSING);
  pith_chat_options options = pith::chat_options();
  options.template_name = "chatml";
  const pith::Chat wrapped(model, tokenizer, options);
  CHECK(wrapped.template_name() == "chatml");
  CHECK(wrapped.stops() == std::vector<std::string>{"<|im_end|>"});
  CHECK(wrapped.is_end(tokenizer.eos()));
  const std::string long_text(1000, 'q');
  CHECK(wrapped.encode(Message{PITH_ROLE_USER, long_text}, 0) ==
        tokenizer.encode("<|im_start|>user\n" + long_text + "<|im_end|>\n"));
  options.reserved = 1;
  CHECK(pith::Chat::create(model, tokenizer, options).error().status() == PITH_E_ARGUMENT);
}
