#include "text/chat_families.h"

#include <cstring>
#include <utility>

namespace pith::internal {
namespace {

constexpr std::string_view kImEnd = "<|im_end|>";
constexpr ChatFormat kImSystem = {"<|im_start|>system\n", "<|im_end|>\n"};
constexpr ChatFormat kImUser = {"<|im_start|>user\n", "<|im_end|>\n"};
constexpr ChatFormat kImAssistant = {"<|im_start|>assistant\n", "<|im_end|>\n"};
constexpr std::string_view kImAnswer = "<|im_start|>assistant\n";
constexpr const char* kImMessage = "'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>'";
constexpr const char* kImThought =
    "'<|im_start|>'+message.role+'\\n<think>\\n'+reasoning_content.strip('\\n')+'\\n</"
    "think>\\n\\n'+content.lstrip('\\n')";
constexpr std::string_view kNoThought = "<think>\n\n</think>\n\n";

// The plain form: no system message of its own, thoughts stay.
constexpr ChatFamily chatml(std::string_view name, const char* default_system = nullptr) {
  ChatFamily f;
  f.name = name;
  f.markers[0] = "<|im_start|>";
  f.markers[1] = kImEnd;
  f.ends[0] = kImEnd;
  f.ends[1] = "<|endoftext|>";
  f.first_system = f.system = kImSystem;
  f.user = kImUser;
  f.assistant = kImAssistant;
  f.answer = kImAnswer;
  f.default_system = default_system;
  return f;
}

constexpr ChatFamily plain_chatml() {
  ChatFamily f = chatml("chatml");
  f.has[0] = kImMessage;
  f.lacks[0] = "text:think";
  f.lacks[1] = "|trim";
  f.lacks[2] = ".strip";
  f.lacks[3] = "text:<|im_sep|>";
  f.lacks[4] = "text:strftime_now";
  return f;
}

constexpr ChatFamily minicpm3() {
  ChatFamily f = chatml("minicpm3");
  f.has[0] = "text:<|im_start|>";
  f.has[1] = "text:<|thought_start|>";
  f.has[2] = "text:<|thought_end|>";
  return f;
}

constexpr ChatFamily qwen3() {
  ChatFamily f = chatml("qwen3");
  f.markers[2] = "<think>";
  f.markers[3] = "</think>";
  f.unthinking = kNoThought;
  f.thoughts = ChatThoughts::last_stays;
  f.has[0] = kImMessage;
  f.has[1] = "{%-ifloop.lastor(notloop.lastandreasoning_content)%}";
  f.has[2] = kImThought;
  f.has[3] = "'<think>\\n\\n</think>\\n\\n'";
  f.lacks[0] = "bos_token";
  return f;
}

constexpr ChatFamily minicpm5() {
  ChatFamily f = qwen3();
  f.name = "minicpm5";
  f.bos = ChatBos::always;
  f.thoughts = ChatThoughts::last_stays_if_any;
  f.has[0] = "{{-bos_token}}";
  f.has[1] = "{%-ifreasoning_content%}";
  f.lacks[0] = {};
  return f;
}

constexpr ChatFamily llama3() {
  ChatFamily f;
  f.name = "llama3";
  f.markers[0] = "<|start_header_id|>";
  f.markers[1] = "<|end_header_id|>";
  f.markers[2] = "<|eot_id|>";
  f.ends[0] = "<|eot_id|>";
  f.ends[1] = "<|eom_id|>";
  f.ends[2] = "<|end_of_text|>";
  f.bos = ChatBos::always;
  f.first_system = f.system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"};
  f.user = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"};
  f.assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"};
  f.answer = f.assistant.before;
  f.trim = ChatTrim::all;
  f.has[0] = "'<|start_header_id|>'+message.role+'<|end_header_id|>\\n\\n'+message.content|trim+'<|eot_id|>'";
  f.lacks[0] = "text:Cutting Knowledge";
  f.lacks[1] = "text:strftime_now";
  f.lacks[2] = "text:date_string";
  return f;
}

// 3.1, 3.2 and 3.3: a system message with a date leads in any case.
constexpr ChatFamily llama31() {
  ChatFamily f = llama3();
  f.name = "llama3.1";
  f.first_system.before =
      "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: \3\n\n";
  f.default_system = "";
  f.has[1] = "'Cutting Knowledge Date: December 2023\\n'";
  f.has[2] = "'Today Date: '+date_string+'\\n\\n'";
  f.lacks[0] = f.lacks[1] = f.lacks[2] = {};
  return f;
}

constexpr ChatFamily llama2() {
  ChatFamily f;
  f.name = "llama2";
  f.markers[0] = "[INST]";
  f.markers[1] = "[/INST]";
  f.bos = ChatBos::in_formats;
  f.first_system = {"\1[INST] <<SYS>>\n", "\n<</SYS>>\n\n"};
  f.user = {"\1[INST] ", " [/INST]"};
  f.assistant = {" ", " \2"};
  f.takes_later_systems = false;
  f.merges_system = true;
  f.trim = ChatTrim::but_system;
  f.has[0] = "'<<SYS>>\\n'+system_message+'\\n<</SYS>>\\n\\n'+message.content";
  f.has[1] = "{{bos_token+'[INST] '+content.strip()+' [/INST]'}}";
  f.has[2] = "{{' '+content.strip()+' '+eos_token}}";
  return f;
}

// Before its vocabularies had tokens for [INST]. The system's message leads the first question, as later templates have
// it.
constexpr ChatFamily mistral() {
  ChatFamily f;
  f.name = "mistral";
  f.markers[0] = "[INST]";
  f.markers[1] = "[/INST]";
  f.bos = ChatBos::always;
  f.first_system = {"[INST] ", "\n\n"};
  f.user = {"[INST] ", " [/INST]"};
  f.assistant = {"", "\2"};
  f.takes_later_systems = false;
  f.merges_system = true;
  f.has[0] = "{{'[INST] '+message.content+' [/INST]'}}";
  f.has[1] = "{{message.content+eos_token}}";
  f.lacks[0] = "text:system";
  return f;
}

constexpr ChatFamily deepseek2() {
  ChatFamily f;
  f.name = "deepseek-v2";
  f.bos = ChatBos::always;
  f.first_system = f.system = {"", "\n\n"};
  f.user = {"User: ", "\n\n"};
  f.assistant = {"Assistant: ", "\2"};
  f.answer = "Assistant:";
  f.has[0] = "{{'User: '+message.content+'\\n\\n'}}";
  f.has[1] = "{{'Assistant: '+message.content+eos_token}}";
  f.has[2] = "{{message.content+'\\n\\n'}}";
  return f;
}

constexpr ChatFamily deepseek3() {
  ChatFamily f;
  f.name = "deepseek-v3";
  f.markers[0] = "<｜User｜>";
  f.markers[1] = "<｜Assistant｜>";
  f.markers[2] = "<｜end▁of▁sentence｜>";
  f.markers[3] = "<think>";
  f.markers[4] = "</think>";
  f.ends[0] = "<｜end▁of▁sentence｜>";
  f.bos = ChatBos::always;
  f.user = {"<｜User｜>", ""};
  f.assistant = {"<｜Assistant｜>", "<｜end▁of▁sentence｜>"};
  f.answer = "<｜Assistant｜>";
  f.takes_later_systems = false;
  f.has[0] = "{{'<｜User｜>'+message.content}}";
  f.has[1] = "{{'<｜Assistant｜>'+content+'<｜end▁of▁sentence｜>'}}";
  f.has[2] = "{{'<｜Assistant｜>'}}";
  f.has[3] = "{{bos_token}}{{ns.system_prompt}}";
  f.lacks[0] = "text:thinking";
  f.lacks[1] = "text:<think>";
  f.lacks[2] = "text:</think>";
  return f;
}

constexpr ChatFamily deepseek_r1() {
  ChatFamily f = deepseek3();
  f.name = "deepseek-r1";
  f.answer = "<｜Assistant｜><think>\n";
  f.unthinking = "</think>";
  f.thoughts = ChatThoughts::go;
  f.has[2] = "{{'<｜Assistant｜><think>\\n'}}";
  f.has[4] = "content.split('</think>')[-1]";
  f.lacks[0] = f.lacks[1] = f.lacks[2] = {};
  return f;
}

constexpr ChatFamily glm4() {
  ChatFamily f;
  f.name = "glm4";
  f.markers[0] = "[gMASK]";
  f.markers[1] = "<sop>";
  f.markers[2] = "<|system|>";
  f.markers[3] = "<|user|>";
  f.markers[4] = "<|assistant|>";
  f.ends[0] = "<|user|>";
  f.ends[1] = "<|observation|>";
  f.ends[2] = "<|endoftext|>";
  f.bos = ChatBos::in_formats;
  f.lead = "[gMASK]<sop>";
  f.first_system = f.system = {"<|system|>\n", ""};
  f.user = {"<|user|>\n", ""};
  f.assistant = {"<|assistant|>\n", ""};
  f.answer = "<|assistant|>\n";
  f.skips_empty = true;
  f.has[0] = "text:[gMASK]<sop>";
  f.has[1] = "{%ifitem.content%}<|{{item.role}}|>{{item.metadata}}{{item.content}}{%endif%}";
  f.has[2] = "text:<|assistant|>\n{%";
  f.lacks[0] = "text:<think>";
  return f;
}

// The published template of glm-4-9b-chat: the line feed after the model's marker is the model's own.
constexpr ChatFamily glm4_chat() {
  ChatFamily f = glm4();
  f.name = "glm4-chat";
  f.answer = "<|assistant|>";
  f.has[2] = "text:<|assistant|>{%";
  return f;
}

constexpr ChatFamily zephyr() {
  ChatFamily f;
  f.name = "zephyr";
  f.markers[0] = "<|system|>";
  f.markers[1] = "<|user|>";
  f.markers[2] = "<|assistant|>";
  f.ends[0] = "<|user|>";
  f.first_system = f.system = {"<|system|>\n", "\2\n"};
  f.user = {"<|user|>\n", "\2\n"};
  f.assistant = {"<|assistant|>\n", "\2\n"};
  f.answer = "<|assistant|>\n";
  f.has[0] = "{{'<|user|>\\n'+message.content+eos_token}}";
  f.has[1] = "{{'<|assistant|>\\n'+message.content+eos_token}}";
  f.has[2] = "text:eos_token }}\n";
  f.lacks[0] = "text:bos_token";
  f.lacks[1] = "|trim";
  return f;
}

constexpr ChatFamily minicpm() {
  ChatFamily f;
  f.name = "minicpm";
  f.markers[0] = "<用户>";
  f.markers[1] = "<AI>";
  f.ends[0] = "<用户>";
  f.user = {"<用户>", "<AI>"};
  f.trim = ChatTrim::all;
  f.has[0] = "{{'<用户>'+message.content.strip()+'<AI>'}}";
  f.has[1] = "{{message.content.strip()}}";
  return f;
}

constexpr ChatFamily youtu() {
  ChatFamily f;
  f.name = "youtu";
  f.markers[0] = "<|User|>";
  f.markers[1] = "<|Assistant|>";
  f.markers[2] = "<|end_of_text|>";
  f.markers[3] = "<think>";
  f.markers[4] = "</think>";
  f.ends[0] = "<|end_of_text|>";
  f.ends[1] = "<|User|>";
  f.bos = ChatBos::always;
  f.user = {"<|User|>", ""};
  f.assistant = {"<|Assistant|>", "<|end_of_text|>"};
  f.answer = "<|Assistant|>";
  f.takes_later_systems = false;
  f.thoughts = ChatThoughts::go;
  f.has[0] = "text:<|User|>";
  f.has[1] = "text:<|Assistant|>";
  f.has[2] = "text:<|end_of_text|>";
  return f;
}

// The first that fits a template is its family; qwen2 and the like are chosen by name, for a file's template says
// itself what its system message is.
constexpr ChatFamily kFamilies[] = {
    minicpm5(),
    qwen3(),
    minicpm3(),
    plain_chatml(),
    chatml("qwen2", "You are a helpful assistant."),
    chatml("qwen2.5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    chatml("smollm2", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
    llama31(),
    llama3(),
    llama2(),
    mistral(),
    deepseek_r1(),
    deepseek3(),
    deepseek2(),
    glm4(),
    glm4_chat(),
    zephyr(),
    minicpm(),
    youtu(),
};
constexpr size_t kFamilyCount = sizeof kFamilies / sizeof kFamilies[0];

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
bool is_quote(char c) { return c == '\'' || c == '"'; }

// The characters of Jinja code as has_code() compares them; it starts outside of literals.
class JinjaCode {
 public:
  explicit JinjaCode(std::string_view text) : text_(text) {}

  // -1 at the end.
  int32_t next() {
    int32_t c = kNothing;
    while (c == kNothing) c = step();
    return c;
  }

 private:
  static constexpr int32_t kNothing = -2;  // what was read is no character of its own

  int32_t step() {
    if (waiting_ != 0) return uint8_t(std::exchange(waiting_, 0));
    if (quote_ == 0) {
      while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    }
    if (at_ == text_.size()) return -1;
    const char c = text_[at_++];
    return quote_ != 0 ? in_literal(c) : in_code(c);
  }
  int32_t in_literal(char c) {
    if (c == '\n') {
      waiting_ = 'n';
      return '\\';
    }
    if (c == '\\' && at_ < text_.size()) waiting_ = text_[at_++];
    if (c != quote_) return uint8_t(c);
    quote_ = 0;
    if (!is_index_) return '\'';
    if (at_ < text_.size() && text_[at_] == ']') ++at_;
    is_index_ = false;
    return kNothing;
  }
  int32_t in_code(char c) {
    if (c == '[' && at_ < text_.size() && is_quote(text_[at_])) {
      quote_ = text_[at_++];
      is_index_ = true;
      return '.';
    }
    if (!is_quote(c)) return uint8_t(c);
    quote_ = c;
    return '\'';
  }

  std::string_view text_;
  size_t at_ = 0;
  char waiting_ = 0;  // comes next
  char quote_ = 0;    // of the literal that it is in; 0: none
  bool is_index_ = false;
};

bool begins_with_code(std::string_view text, std::string_view code) {
  JinjaCode characters(text);
  for (const char c : code) {
    if (characters.next() != int32_t(uint8_t(c))) return false;
  }
  return true;
}

bool has(std::string_view text, std::string_view what) {
  constexpr std::string_view kText = "text:";
  if (what.substr(0, kText.size()) == kText) return text.find(from(what, kText.size())) != std::string_view::npos;
  return has_code(text, what);
}

bool fits(std::string_view text, const ChatFamily& family) {
  if (family.has[0].empty()) return false;
  for (const std::string_view what : family.has) {
    if (!what.empty() && !has(text, what)) return false;
  }
  for (const std::string_view what : family.lacks) {
    if (!what.empty() && has(text, what)) return false;
  }
  return true;
}

// What stands before the quote that ends a literal, or all.
std::string_view literal_of(std::string_view text, char quote) {
  size_t end = 0;
  while (end < text.size() && text[end] != quote) end += text[end] == '\\' && end + 1 < text.size() ? 2 : 1;
  return from(text, 0, end);
}

}  // namespace

bool has_code(std::string_view chat_template, std::string_view code) {
  for (size_t i = 0; i < chat_template.size(); ++i) {
    const char c = is_quote(chat_template[i]) ? '\'' : chat_template[i];
    if (c == code[0] && begins_with_code(from(chat_template, i), code)) return true;
  }
  return false;
}

const ChatFamily* chat_family_at(size_t index) { return index < kFamilyCount ? &kFamilies[index] : nullptr; }

const ChatFamily* find_chat_family(std::string_view name) {
  for (const ChatFamily& family : kFamilies) {
    if (family.name == name) return &family;
  }
  return nullptr;
}

const ChatFamily* recognise_chat_family(std::string_view chat_template) {
  if (chat_template.size() > kMaxChatTemplate) return nullptr;
  for (const ChatFamily& family : kFamilies) {
    if (fits(chat_template, family)) return &family;
  }
  return nullptr;
}

std::string_view default_system_of(std::string_view chat_template) {
  constexpr std::string_view kStart = "<|im_start|>system";
  size_t at = chat_template.find(kStart);
  while (at != std::string_view::npos) {
    const std::string_view rest = from(chat_template, at + kStart.size());
    const size_t n_line_feed = rest.starts_with("\\n") ? 2 : rest.starts_with('\n') ? 1 : 0;
    if (n_line_feed > 0 && at > 0 && is_quote(chat_template[at - 1])) {
      const std::string_view literal = literal_of(from(rest, n_line_feed), chat_template[at - 1]);
      const size_t end = literal.find(kImEnd);
      if (end != std::string_view::npos) return from(literal, 0, end);
      at += kStart.size() + n_line_feed + literal.size();
    } else {
      at += kStart.size();
    }
    at = chat_template.find(kStart, at);
  }
  return {};
}

std::string_view chat_family_names(char (&out)[kMaxFamilyNames]) {
  size_t n = 0;
  for (const ChatFamily& family : kFamilies) {
    const std::string_view comma = n == 0 ? "" : ", ";
    if (n + comma.size() + family.name.size() > kMaxFamilyNames) break;
    std::memcpy(out + n, comma.data(), comma.size());
    std::memcpy(out + n + comma.size(), family.name.data(), family.name.size());
    n += comma.size() + family.name.size();
  }
  return {out, n};
}

}  // namespace pith::internal
