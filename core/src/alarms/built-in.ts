import type { CompiledRule } from './compile.ts'

/** A device has said "calibration" for longer than an inhibit may last: its alarms have been blind all the time. */
export const inhibitTooLong: CompiledRule = {
  id: 'system.inhibit-too-long',
  kind: 'inhibit',
  at: 'gateway',
  hash: 'system.inhibit-too-long.1',
  source: 'tag',
  matches: () => false,
  unit: null,
  levels: [
    {
      name: 'LONG',
      title: { zh: '超时', en: 'too long' },
      side: 'high',
      rank: 1,
      priority: 'high',
      latch: false,
      limit: null,
      reset: null,
      inclusive: true,
      onDelayMs: 0,
      offDelayMs: 0,
      afterMs: 0,
    },
  ],
  onUncertain: 'use',
  maxGapMs: 0,
  latenessMs: 0,
  offAfterGood: 1,
  reasons: null,
  countsUncertain: false,
  autoAck: false,
  route: null,
  text: {
    zh: '{tag} 处于标定/维护状态的时间超过允许时长',
    en: '{tag} has been in calibration or maintenance for longer than allowed',
  },
  response: {
    consequence: { zh: '该测点失去报警保护', en: 'No alarm protection at this point' },
    action: {
      zh: ['确认现场标定是否已结束', '将探测器恢复到测量状态', '恢复前按未防护区域管理'],
      en: [
        'Check whether the calibration is over',
        'Put the detector back to measuring',
        'Until then treat the area as unprotected',
      ],
    },
    time_to_respond: '15m',
  },
}
