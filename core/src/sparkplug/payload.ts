/**
 * The Sparkplug B 3.0 payload as it is on the wire (specification, chapter 6.4). A value keeps the member of the protobuf
 * `oneof` that it came in (`wire`); what it means follows from the datatype, see `values.ts`. Absent fields are undefined.
 */
export interface Payload {
  /** ms UTC at sending */
  readonly timestamp?: number | undefined
  readonly metrics: readonly Metric[]
  /** 0–255 by the specification; not checked here */
  readonly seq?: number | undefined
  readonly uuid?: string | undefined
  readonly body?: Uint8Array | undefined
}

export interface Metric {
  readonly name?: string | undefined
  readonly alias?: number | undefined
  /** ms UTC; never beyond what a Date can hold */
  readonly timestamp?: number | undefined
  /** number of the Sparkplug datatype, see `datatypes.ts`; absent in DATA (tck-id-payloads-metric-datatype-not-req) */
  readonly datatype?: number | undefined
  readonly isHistorical?: boolean | undefined
  readonly isTransient?: boolean | undefined
  readonly isNull?: boolean | undefined
  readonly metadata?: MetaData | undefined
  readonly properties?: PropertySet | undefined
  /** member of the `oneof` that holds the value; undefined: there is none */
  readonly wire?: MetricWire | undefined
  /** int: 0 to 2^32−1 · long: bigint 0 to 2^64−1 · float, double: number (may be NaN) · bytes, extension: raw bytes */
  readonly value?: WireValue | DataSet | Template | undefined
}

/** Members of the `oneof` that metrics, properties, data sets and template parameters share. */
export type ScalarWire = 'int' | 'long' | 'float' | 'double' | 'boolean' | 'string'
export type MetricWire = ScalarWire | 'bytes' | 'dataset' | 'template' | 'extension'
export type WireValue = number | bigint | boolean | string | Uint8Array

export interface MetaData {
  readonly isMultiPart?: boolean | undefined
  readonly contentType?: string | undefined
  readonly size?: bigint | undefined
  readonly seq?: bigint | undefined
  readonly fileName?: string | undefined
  readonly fileType?: string | undefined
  readonly md5?: string | undefined
  readonly description?: string | undefined
}

/** Keys in the order of the wire. */
export type PropertySet = ReadonlyMap<string, PropertyValue>

export interface PropertyValue {
  readonly type?: number | undefined
  readonly isNull?: boolean | undefined
  readonly wire?: ScalarWire | 'set' | 'list' | 'extension' | undefined
  readonly value?: WireValue | PropertySet | readonly PropertySet[] | undefined
}

export interface DataSet {
  readonly columns: readonly string[]
  readonly types: readonly number[]
  readonly rows: readonly (readonly DataSetValue[])[]
  /** as sent; undefined if absent */
  readonly columnCount?: bigint | undefined
}

export interface DataSetValue {
  readonly wire?: ScalarWire | 'extension' | undefined
  readonly value?: WireValue | undefined
}

export interface Template {
  readonly version?: string | undefined
  readonly metrics: readonly Metric[]
  readonly parameters: readonly TemplateParameter[]
  readonly templateRef?: string | undefined
  readonly isDefinition?: boolean | undefined
}

export interface TemplateParameter {
  readonly name?: string | undefined
  readonly type?: number | undefined
  readonly wire?: ScalarWire | 'extension' | undefined
  readonly value?: WireValue | undefined
}
