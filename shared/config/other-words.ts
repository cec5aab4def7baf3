/**
 * Other programs' names of Tessera's keys, and keys that users expect but do not exist; for hints only. Words are
 * compared without regard to case, `-` and `_`.
 */

/** The replacement: a key (dotted, from the top), or a sentence. */
interface OtherWords {
  readonly words: readonly string[];
  readonly key?: string;
  /** The form of its value, or the reason why the key does not exist. */
  readonly says?: string;
}

const SERVER = 'as a URL such as mqtt://HOST:1883, or mqtts://, ws://, wss://';
const IN_URL = 'which has it in its URL: mqtt://HOST:PORT';
const TLS = 'whose URL says so: mqtts://HOST:8883 (wss:// for WebSockets)';

const MQTT: readonly OtherWords[] = [
  {
    words: ['host', 'hostname', 'url', 'uri', 'broker', 'address', 'ip', 'servers', 'endpoint'],
    key: 'mqtt.server',
    says: SERVER,
  },
  { words: ['port'], key: 'mqtt.server', says: IN_URL },
  {
    words: ['tls', 'ssl', 'usetls', 'usessl', 'secure', 'protocol', 'scheme', 'transport'],
    key: 'mqtt.server',
    says: TLS,
  },
  { words: ['username', 'login', 'usr'], key: 'mqtt.user' },
  {
    words: ['pass', 'passwd', 'pwd', 'secret', 'passphrase', 'passwordfile'],
    key: 'mqtt.password',
    says: 'or keep it in a file that $TESSERA_MQTT__PASSWORD_FILE names',
  },
  { words: ['topic', 'prefix', 'topicprefix', 'basetopic', 'base', 'root', 'namespace'], key: 'mqtt.base_topic' },
  {
    words: ['cafile', 'cacert', 'cacerts', 'cacertificate', 'cacertificates', 'tlsca', 'certificateauthority'],
    key: 'mqtt.ca',
  },
  { words: ['certfile', 'clientcert', 'tlscert', 'certificate', 'clientcertificate'], key: 'mqtt.cert' },
  { words: ['keyfile', 'clientkey', 'tlskey', 'privatekey'], key: 'mqtt.key' },
  {
    words: ['insecure', 'tlsinsecure', 'verify', 'verifytls', 'skipverify', 'rejectunauthorised'],
    key: 'mqtt.reject_unauthorized',
    says: 'false for a broker whose certificate cannot be verified',
  },
  { words: ['clientid', 'id'], says: 'client ids are made by Tessera; central.id and node.id name its processes' },
  {
    words: ['qos', 'retain', 'keepalive', 'version', 'protocolversion', 'clean', 'cleansession', 'lwt', 'discovery'],
    says: 'this is not configurable: docs/protocol.md says how Tessera uses MQTT',
  },
];

const BROKER: readonly OtherWords[] = [
  {
    words: ['host', 'port', 'bind', 'listener', 'listeners', 'address', 'url', 'server', 'addr'],
    key: 'broker.listen',
    says: 'as a list of URLs such as [mqtt://127.0.0.1:1883]',
  },
  { words: ['allowanonymous', 'auth', 'authentication'], key: 'broker.anonymous', says: 'loopback or never' },
  {
    words: ['user', 'users', 'username', 'password', 'passwordfile', 'credentials'],
    says: 'users are made with `tessera broker --invite ROLE:NAME` or `tessera node invite`',
  },
  {
    words: ['acl', 'aclfile', 'rules'],
    says: 'the rules of the built-in broker are fixed (docs/security.md); `tessera acl` prints them for another one',
  },
  { words: ['certfile', 'certificate'], key: 'broker.cert' },
  { words: ['keyfile', 'privatekey'], key: 'broker.key' },
  { words: ['cafile', 'cacert'], key: 'broker.ca' },
  {
    words: ['persistence', 'queue', 'maxqueuedmessages', 'retention'],
    key: 'broker.keep_frames_s',
    says: 'and broker.keep_frames_mb',
  },
];

const SECTIONS: Readonly<Record<string, readonly OtherWords[]>> = {
  mqtt: MQTT,
  broker: BROKER,
  central: [
    { words: ['name', 'hostname'], key: 'central.id' },
    { words: ['grid', 'nodes', 'model', 'models'], says: 'set it on the command line: `tessera central --help`' },
  ],
  node: [
    { words: ['name', 'hostname'], key: 'node.id' },
    { words: ['cpus', 'cores', 'numthreads', 'workers', 'cpu'], key: 'node.threads' },
    { words: ['memory', 'ram', 'mem', 'memorymb', 'memorylimit'], key: 'node.memory_mb', says: 'a number of MB' },
    { words: ['keys', 'trusted', 'publickey'], key: 'node.trusted_keys' },
    { words: ['type', 'kind', 'class'], key: 'node.tier' },
  ],
  models: [
    { words: ['path', 'folder', 'directory', 'modelsdir', 'modeldir'], key: 'models.dir' },
    { words: ['accuracy', 'bound'], key: 'models.agreement' },
    { words: ['key', 'signingkeyfile'], key: 'models.signing_key' },
  ],
  cameras: [
    { words: ['url', 'rtsp', 'stream', 'input', 'inputs', 'path', 'device', 'ffmpeg'], key: 'cameras.NAME.source' },
    {
      words: ['mask', 'privacy', 'zones', 'privacymasks'],
      key: 'cameras.NAME.masks',
      says: 'a list of polygons in shares of width and height',
    },
    {
      words: ['roi', 'region', 'regions'],
      key: 'cameras.NAME.crop',
      says: 'as [left, top, right, bottom] in shares of width and height',
    },
    {
      words: ['width', 'height', 'size', 'scale', 'resolution'],
      key: 'cameras.NAME.resize',
      says: 'the shorter side in pixels',
    },
    { words: ['heartbeat', 'keepalive'], key: 'cameras.NAME.heartbeat_s' },
    { words: ['sensitivity', 'motionthreshold', 'motionarea'], key: 'cameras.NAME.motion_share' },
    { words: ['model'], key: 'cameras.NAME.models', says: 'a list of names' },
    { words: ['fps', 'rate', 'framerate', 'maxrate'], key: 'cameras.NAME.max_fps' },
    { words: ['timeout', 'offlineafter', 'expireafter'], key: 'cameras.NAME.offline_after_s' },
    { words: ['debounce', 'agree'], key: 'cameras.NAME.hold' },
    { words: ['name', 'id', 'topic'], says: 'a camera has the name that it is listed under: cameras: { NAME: {} }' },
  ],
  http: [
    { words: ['listen', 'bind', 'address', 'interface', 'ip'], key: 'http.host' },
    { words: ['on', 'enable', 'active'], key: 'http.enabled' },
    {
      words: ['user', 'password', 'auth', 'token', 'tls', 'cert', 'key', 'origins', 'cors'],
      says: 'users of the broker log in, and there is no TLS of its own (docs/security.md)',
    },
  ],
  log: [
    { words: ['loglevel', 'verbosity', 'verbose', 'debug', 'severity'], key: 'log.level' },
    { words: ['json', 'type', 'style'], key: 'log.format', says: 'text or json' },
    { words: ['file', 'path', 'dir'], says: 'logs go to standard error: a service keeps them' },
  ],
  '': [
    {
      words: ['host', 'server', 'url', 'hostname', 'mqtturl', 'mqttserver', 'mqtthost', 'brokerurl'],
      key: 'mqtt.server',
      says: SERVER,
    },
    { words: ['port', 'mqttport'], key: 'mqtt.server', says: IN_URL },
    { words: ['user', 'username', 'mqttuser', 'mqttusername'], key: 'mqtt.user' },
    { words: ['password', 'pass', 'mqttpassword', 'mqttpass'], key: 'mqtt.password' },
    { words: ['basetopic', 'topic', 'prefix'], key: 'mqtt.base_topic' },
    { words: ['listen', 'bind'], key: 'broker.listen' },
    { words: ['camera', 'streams'], key: 'cameras', says: 'with the name of each below it' },
    { words: ['model', 'modelsdir', 'modeldir'], key: 'models.dir', says: 'the folder of model folders' },
    {
      words: ['nodes', 'agent', 'agents', 'worker', 'workers'],
      key: 'node',
      says: 'each node agent reads its own part',
    },
    { words: ['logging', 'logger', 'logs', 'loglevel', 'debug', 'verbose'], key: 'log.level' },
    {
      words: ['https', 'web', 'api', 'ui', 'rest', 'dashboard', 'window', 'frontend', 'metrics'],
      key: 'http',
      says: 'as http: { enabled: true }',
    },
  ],
};

const plain = (word: string): string => word.toLowerCase().replace(/[-_\s]/g, '');

/** A hint for an unknown key; undefined where no other program has such a key. */
export function otherWords(
  path: readonly string[],
): { readonly key: string | undefined; readonly hint: string } | undefined {
  const section = path.length === 1 ? '' : path[0]!;
  const word = plain(path.at(-1)!);
  const found = SECTIONS[section]?.find(({ words }) => words.includes(word));
  if (found === undefined) return undefined;
  const key = found.key?.replace('NAME', path[1] ?? 'NAME');
  if (key === undefined) return { key, hint: found.says! };
  const hint = found.says === undefined ? `did you mean ${key}?` : `write ${key}, ${found.says}`;
  return { key, hint };
}
