#pragma once
#include "arduino.h"

enum { WL_CONNECTED = 3 };

struct {
  void begin(const char *name, const char *) { printf("wifi %s\n", name); }
  int status() { return WL_CONNECTED; }
} WiFi;

class WiFiClient {};
