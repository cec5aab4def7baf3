// An ESP32-CAM (AI-Thinker) as a camera of Tessera: five pictures a second on tessera/input/yard.
// Arduino IDE: board "AI Thinker ESP32-CAM", library "PubSubClient" (2.8).

#include <PubSubClient.h>
#include <WiFi.h>
#include <esp_camera.h>

const char *WIFI_NAME = "home";
const char *WIFI_PASSWORD = "secret";
const char *BROKER = "10.0.0.5";
const char *USER = "camera-yard";  // what `tessera node invite yard --role camera` prints, or a user of Mosquitto
const char *PASSWORD = "secret";
const char *CAMERA = "yard";
const unsigned long EVERY_MS = 200;

WiFiClient network;
PubSubClient broker(network);

void setup() {
  Serial.begin(115200);
  camera_config_t pins = {};
  pins.pin_pwdn = 32;
  pins.pin_reset = -1;
  pins.pin_xclk = 0;
  pins.pin_sccb_sda = 26;
  pins.pin_sccb_scl = 27;
  pins.pin_d7 = 35;
  pins.pin_d6 = 34;
  pins.pin_d5 = 39;
  pins.pin_d4 = 36;
  pins.pin_d3 = 21;
  pins.pin_d2 = 19;
  pins.pin_d1 = 18;
  pins.pin_d0 = 5;
  pins.pin_vsync = 25;
  pins.pin_href = 23;
  pins.pin_pclk = 22;
  pins.xclk_freq_hz = 20000000;
  pins.ledc_timer = LEDC_TIMER_0;
  pins.ledc_channel = LEDC_CHANNEL_0;
  pins.pixel_format = PIXFORMAT_JPEG;
  pins.frame_size = FRAMESIZE_VGA;
  pins.jpeg_quality = 12;
  pins.fb_count = 2;
  pins.fb_location = CAMERA_FB_IN_PSRAM;
  pins.grab_mode = CAMERA_GRAB_LATEST;
  if (esp_camera_init(&pins) != ESP_OK) {
    Serial.println("no camera");
    delay(5000);
    ESP.restart();
  }
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  broker.setServer(BROKER, 1883);
}

void loop() {
  if (WiFi.status() != WL_CONNECTED || (!broker.connected() && !broker.connect(USER, USER, PASSWORD))) {
    delay(1000);
    return;
  }
  broker.loop();
  camera_fb_t *picture = esp_camera_fb_get();
  if (picture == nullptr) return;
  // Pictures are larger than the library's buffer, so they are written piece by piece.
  const String topic = String("tessera/input/") + CAMERA;
  if (broker.beginPublish(topic.c_str(), picture->len, false)) {
    broker.write(picture->buf, picture->len);
    broker.endPublish();
  }
  esp_camera_fb_return(picture);
  delay(EVERY_MS);
}
