// What sockets.cpp asks of a system, in the words of Windows.
#ifndef PITH_SYSTEM_WINDOWS_SOCKET_CALLS_H
#define PITH_SYSTEM_WINDOWS_SOCKET_CALLS_H

#include <winsock2.h>
#include <ws2tcpip.h>

#include "sockets.h"

namespace pith::internal::socket_calls {

using Native = SOCKET;
using Bytes = int;

constexpr int kShutSending = SD_SEND, kShutBoth = SD_BOTH;
constexpr int kLongestWait = 250;  // ms; shut_down does not end a wait
// What WSAPoll says of a connection whose other end has closed.
constexpr short kAskForEnd = POLLIN, kEnd = POLLHUP | POLLERR;

inline bool begin() {
  static const bool is_there = [] {
    WSADATA data;
    return WSAStartup(MAKEWORD(2, 2), &data) == 0;
  }();
  return is_there;
}
inline Native native(Socket socket) { return SOCKET(socket); }
inline int last_error() { return WSAGetLastError(); }
inline bool is_interruption(int error) { return error == WSAEINTR; }
inline bool is_not_now(int error) { return error == WSAEWOULDBLOCK || error == WSAEINTR; }
inline bool is_shortage(int error) { return error == WSAEMFILE || error == WSAENOBUFS; }
inline int poll_all(pollfd* all, unsigned n, int milliseconds) { return WSAPoll(all, n, milliseconds); }
inline int close_native(Native socket) { return closesocket(socket); }
inline void set(Native socket, int level, int option, int value) {
  (void)::setsockopt(socket, level, option, reinterpret_cast<const char*>(&value), sizeof value);
}
inline void prepare(Native socket) {
  u_long is_on = 1;
  (void)ioctlsocket(socket, FIONBIO, &is_on);
  (void)SetHandleInformation(reinterpret_cast<HANDLE>(socket), HANDLE_FLAG_INHERIT, 0);
}
// SO_REUSEADDR would let two servers have one port. Of IPv6 both kinds of clients are taken, as elsewhere.
inline void prepare_to_listen(Native socket) {
  set(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
  set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
}
// As UTF-8 (utf8.manifest), without the end of a line.
inline std::string error_text(int error) {
  if (error == WSAEADDRINUSE) return "the port is in use";  // the system's own sentence is about protocols
  char text[512];
  DWORD n = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr, DWORD(error), 0, text,
                           sizeof text, nullptr);
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == '.')) --n;
  return n == 0 ? "error " + std::to_string(error) : std::string(text, n);
}
inline std::string host_error(int status) { return error_text(status); }

// Only sockets can be waited for together with sockets: one that sends to itself.
inline void make_doorbell(Socket ends[2]) {
  if (!begin()) return;
  const SOCKET one = ::socket(AF_INET, SOCK_DGRAM, 0);
  if (one == INVALID_SOCKET) return;
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* any = reinterpret_cast<sockaddr*>(&here);
  int bytes = sizeof here;
  if (::bind(one, any, bytes) != 0 || ::getsockname(one, any, &bytes) != 0 || ::connect(one, any, bytes) != 0) {
    closesocket(one);
    return;
  }
  prepare(one);
  ends[0] = ends[1] = Socket(one);
}
inline void ring(Socket end) { (void)::send(native(end), "", 1, 0); }

}  // namespace pith::internal::socket_calls

#endif
