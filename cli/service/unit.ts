/** The processes that can be services. */
export const SERVICES = ['agent', 'central', 'broker'] as const;
/** One of them. */
export type Service = (typeof SERVICES)[number];

/** How a service runs. */
export interface UnitOptions {
  readonly service: Service;
  /** Program and first words of its command line, without spaces in one word; the service's name follows. */
  readonly command: readonly string[];
  /** File with a join token, readable by root only. */
  readonly joinFile?: string | undefined;
}

/** The name of a service's unit. */
export function unitName(service: Service): string {
  return `tessera-${service}.service`;
}

/**
 * What differs: seconds without a sign of life until a restart (loading a network may keep the inference thread of a
 * small machine busy), and who dies first where memory is short: what computes, not the network stack and sshd.
 */
const OWN: Readonly<Record<Service, { readonly about: string; readonly watchdogS: number; readonly extra: string }>> = {
  agent: {
    about: 'node agent',
    watchdogS: 120,
    // The firmware of a Raspberry Pi says whether it throttles; cameras.
    extra: 'OOMScoreAdjust=500\nSupplementaryGroups=video\nDeviceAllow=/dev/vcio rw\nDeviceAllow=char-video4linux rw\n',
  },
  central: { about: 'central', watchdogS: 120, extra: '' },
  broker: { about: 'broker', watchdogS: 30, extra: '' },
};

/** The systemd unit of a service. It may write its state directory and nothing else, and see no other process. */
export function unitText({ service, command, joinFile }: UnitOptions): string {
  const { about, watchdogS, extra } = OWN[service];
  const join = joinFile === undefined ? '' : ' --join-file %d/join';
  return `[Unit]
Description=Tessera ${about}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart=${[...command, service].join(' ')}${join}
WatchdogSec=${watchdogS}
Restart=always
RestartSec=5
TimeoutStopSec=15
DynamicUser=yes
StateDirectory=tessera-${service}
StateDirectoryMode=0700
${joinFile === undefined ? '' : `LoadCredential=join:${joinFile}\n`}LogRateLimitIntervalSec=30
LogRateLimitBurst=200
${extra}UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
DevicePolicy=closed
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateTmp=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
}
