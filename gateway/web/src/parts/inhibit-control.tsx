import { Button, Input, InputNumber, Modal, message } from 'antd'
import { useState } from 'react'
import { answer, client, type Device, newCommandId } from '../api/client.ts'
import { useWords } from '../i18n/language.tsx'

interface Props {
  readonly device: Device
  readonly now: number
  readonly onChanged: () => void
}

/** Inhibits the alarms of a detector during calibration, always with a reason and an end. */
export function InhibitControl({ device, now, onChanged }: Props) {
  const { t, time } = useWords()
  const [open, setOpen] = useState(false)
  const [minutes, setMinutes] = useState(30)
  const [reason, setReason] = useState('')
  const [toast, holder] = message.useMessage()
  const params = { path: { site: device.site, device: device.device } }

  const send = async (call: Promise<unknown>) => {
    try {
      await call
      setOpen(false)
      onChanged()
    } catch (error) {
      void toast.error(t('failed') + (error as Error).message)
    }
  }
  const begin = () => {
    const body = { until: Math.round(now + minutes * 60_000), reason, commandId: newCommandId() }
    return send(answer(client.POST('/api/v1/devices/{site}/{device}/inhibit', { params, body })))
  }
  const end = () => {
    const body = { commandId: newCommandId() }
    return send(answer(client.POST('/api/v1/devices/{site}/{device}/end-inhibit', { params, body })))
  }

  return (
    <p className="inhibit">
      {holder}
      {device.inhibit ? (
        <>
          <span className="quality quality-uncertain">
            {`${t('inhibitUntil')} ${time(device.inhibit.until)} · ${device.inhibit.reason} · ${device.inhibit.by}`}
          </span>
          <Button size="small" onClick={() => void end()}>
            {t('endInhibit')}
          </Button>
        </>
      ) : (
        <Button size="small" onClick={() => setOpen(true)}>
          {t('inhibit')}
        </Button>
      )}
      <Modal
        open={open}
        title={t('inhibit')}
        okText={t('confirm')}
        cancelText={t('cancel')}
        okButtonProps={{ disabled: reason.trim() === '' }}
        onOk={() => void begin()}
        onCancel={() => setOpen(false)}
      >
        <div className="inhibit-form">
          <Input
            aria-label={t('inhibitReason')}
            placeholder={t('inhibitReason')}
            value={reason}
            onChange={event => setReason(event.target.value)}
          />
          <InputNumber
            aria-label={t('minutes')}
            min={1}
            value={minutes}
            suffix={t('minutes')}
            onChange={value => setMinutes(value ?? 30)}
          />
        </div>
      </Modal>
    </p>
  )
}
