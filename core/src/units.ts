/** The units that profiles, rules and screens may use. A unit is compared by its text: "ppm" against "mg/m3" is an error, never a conversion. */
export const units = {
  'm3/h': { zh: '立方米/时', symbol: 'm³/h' },
  'L/s': { zh: '升/秒', symbol: 'L/s' },
  m3: { zh: '立方米', symbol: 'm³' },
  'm/s': { zh: '米/秒', symbol: 'm/s' },
  m: { zh: '米', symbol: 'm' },
  mm: { zh: '毫米', symbol: 'mm' },
  '%': { zh: '百分比', symbol: '%' },
  degC: { zh: '摄氏度', symbol: '°C' },
  kPa: { zh: '千帕', symbol: 'kPa' },
  MPa: { zh: '兆帕', symbol: 'MPa' },
  kg: { zh: '千克', symbol: 'kg' },
  t: { zh: '吨', symbol: 't' },
  ppm: { zh: '百万分比', symbol: 'ppm' },
  ppb: { zh: '十亿分比', symbol: 'ppb' },
  'mg/m3': { zh: '毫克/立方米', symbol: 'mg/m³' },
  '%LEL': { zh: '爆炸下限百分比', symbol: '%LEL' },
  '%vol': { zh: '体积百分比', symbol: '%vol' },
  mA: { zh: '毫安', symbol: 'mA' },
  V: { zh: '伏', symbol: 'V' },
  h: { zh: '小时', symbol: 'h' },
  s: { zh: '秒', symbol: 's' },
  'mL/min': { zh: '毫升/分', symbol: 'mL/min' },
} as const satisfies Readonly<Record<string, { zh: string; symbol: string }>>

export type Unit = keyof typeof units
export const unitNames = Object.keys(units) as readonly Unit[]
