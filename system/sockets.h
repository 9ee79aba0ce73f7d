// Connections over TCP, for a server. For the command: the library opens nothing. What is sent or received never waits;
// a socket without a reader is an error and no signal (ignore_reported_signals of endings.h).
#ifndef PITH_SYSTEM_SOCKETS_H
#define PITH_SYSTEM_SOCKETS_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace pith::internal {

using Socket = intptr_t;  // a descriptor, or what Windows has instead
constexpr Socket kNoSocket = -1;

// A name and a port, as numbers.
struct SocketAddress {
  std::string host;
  uint16_t port = 0;
};

struct Listening {
  Socket socket = kNoSocket;
  std::string unknown_host;  // why the host is none, or
  std::string refused;       // why the port can't be had
};

// Port 0: any that is free. Nobody else gets the port afterwards, but on BSD's systems, where an address that is more
// exact still does.
Listening listen_on(const char* host, uint16_t port);

// kNoSocket: the client has gone meanwhile; or the process may have no more sockets, and some milliseconds have passed in
// which one may have become free. `send_bytes`: of an answer, on its way to a client that reads slowly. Small parts are
// sent at once.
Socket accept_from(Socket listening, int send_bytes);

// How many bytes have come, at most so many; 0: no more will; or one of these.
constexpr ptrdiff_t kNotNow = -1, kBroken = -2;
ptrdiff_t receive(Socket socket, void* out, size_t bytes);
// How many have been taken, or one of those.
ptrdiff_t send(Socket socket, const void* data, size_t bytes);

enum class Ready { to_receive, to_send };
// Waits at most so many milliseconds. True: ask the socket again, ready or not; false: that is of no use. Where shut_down
// doesn't end this, it looks up now and then.
bool wait_until(Ready what, Socket socket, int milliseconds);

// False: the other end has closed, or half of it.
bool is_connected(Socket socket);
SocketAddress own_address(Socket socket);
SocketAddress peer_address(Socket socket);

void end_sending(Socket socket);
// Another thread may call it: what the socket's thread asks for from then on fails.
void shut_down(Socket socket);
void close_socket(Socket socket);

// Ends the sleep of a thread that waits for connections.
class Doorbell {
 public:
  Doorbell();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;
  bool exists() const { return ends_[0] != kNoSocket; }

  void ring();
  // Sleeps until somebody may be there to be accepted; false: it has rung.
  bool wait_for_client(Socket listening);

 private:
  Socket ends_[2] = {kNoSocket, kNoSocket};  // to listen to, and to ring; may be one
};

}  // namespace pith::internal

#endif
