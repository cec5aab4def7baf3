// Signatures of PubSubClient 2.8.
#pragma once
#include "WiFi.h"

class PubSubClient {
 public:
  PubSubClient(WiFiClient &) {}
  PubSubClient &setServer(const char *host, uint16_t port) {
    printf("server %s:%d\n", host, port);
    return *this;
  }
  bool connected() { return isConnected; }
  bool connect(const char *id, const char *user, const char *) {
    printf("connect %s as %s\n", id, user);
    return isConnected = true;
  }
  bool loop() { return true; }
  bool beginPublish(const char *topic, unsigned int length, bool retained) {
    printf("publish %s, %u bytes%s\n", topic, length, retained ? ", retained" : "");
    return true;
  }
  size_t write(const uint8_t *, size_t size) {
    printf("write %zu\n", size);
    return size;
  }
  int endPublish() {
    printf("end\n");
    return 1;
  }

 private:
  bool isConnected = false;
};
