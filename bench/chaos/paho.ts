/** The same camera as camera-worker.ts, with Eclipse Paho (Python), the client that most scripts of others use. */
export const PAHO_CAMERA = `
import base64, json, sys, threading, time
import paho.mqtt.client as mqtt

task = json.loads(sys.argv[1])
pictures = [base64.b64decode(text) for text in json.loads(sys.stdin.readline())]
camera, names, early, lock = task["camera"], {}, set(), threading.Lock()

# One write a line: two threads print.
def say(what, frame):
    sys.stdout.write(f"{what} {frame}\\n")
    sys.stdout.flush()

def on_publish(client, userdata, mid, *rest):
    with lock:
        frame = names.pop(mid, None)
        if frame is None:
            early.add(mid)
    if frame is not None:
        say("acknowledged", frame)

try:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="chaos-" + camera)
except AttributeError:
    client = mqtt.Client(client_id="chaos-" + camera)
client.on_publish = on_publish
client.reconnect_delay_set(1, 1)
client.max_queued_messages_set(0)
client.connect_async("127.0.0.1", task["port"], keepalive=10)
client.loop_start()
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
count, due = 0, time.monotonic()
while not ended.is_set():
    frame = f"{camera}-{count}"
    say("sent", frame)
    # Not under the lock: on_publish is called under one that publish waits for.
    info = client.publish(f"tessera/input/{camera}/{frame}", pictures[count % len(pictures)], qos=1)
    with lock:
        isEarly = info.mid in early
        early.discard(info.mid)
        if not isEarly:
            names[info.mid] = frame
    if isEarly:
        say("acknowledged", frame)
    count += 1
    due += task["everyMs"] / 1000
    ended.wait(max(0, due - time.monotonic()))
until = time.monotonic() + 60
while names and time.monotonic() < until:
    time.sleep(0.05)
client.loop_stop()
`;
