// What a client is told went wrong, in OpenAI's shape.
#ifndef PITH_SERVER_API_ERROR_H
#define PITH_SERVER_API_ERROR_H

#include <stdexcept>
#include <string>
#include <utility>

namespace pith::server {

struct ApiError : std::runtime_error {
  ApiError(int its_status, const std::string& message, std::string its_param = "", std::string its_code = "")
      : std::runtime_error(message), status(its_status), param(std::move(its_param)), code(std::move(its_code)) {}

  int status;               // of HTTP
  std::string param, code;  // "": null

  // {"error": {"message": ..., "type": ..., "param": ..., "code": ...}}
  std::string json() const;
};

// 400, of one field of a request.
ApiError refused(const std::string& param, const std::string& message);

}  // namespace pith::server

#endif
