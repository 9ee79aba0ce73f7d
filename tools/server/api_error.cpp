#include "api_error.h"

#include "document.h"

namespace pith::server {
namespace {

json::Document text_or_null(const std::string& text) { return text.empty() ? json::Document() : json::Document(text); }

const char* type_of(int status) {
  if (status == 401) return "authentication_error";
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

}  // namespace

std::string ApiError::json() const {
  const json::Document error = {
      {"message", what()}, {"type", type_of(status)}, {"param", text_or_null(param)}, {"code", text_or_null(code)}};
  json::Document out;
  out.add("error", error);
  return out.dump();
}

ApiError refused(const std::string& param, const std::string& message) {
  return ApiError(400, "field " + param + ": " + message, param);
}

}  // namespace pith::server
