package h2

import "github.com/sallyport/sallyport/internal/door/h2/frame"

// takeSettings takes the client's settings and acknowledges them (RFC 9113, 6.5);
// with mu held.
func (c *conn) takeSettings(h frame.Header, p []byte) error {
	switch {
	case h.Stream != 0:
		return protocolError("SETTINGS on a stream")
	case h.Flags.Has(frame.Ack) && len(p) != 0:
		return sizeError("SETTINGS are acknowledged with a payload")
	case h.Flags.Has(frame.Ack):
		return c.idleFrame(1)
	case len(p)%frame.SettingLen != 0:
		return sizeError("SETTINGS are not whole")
	}
	window := c.firstWindow
	for b := p; len(b) > 0; b = b[frame.SettingLen:] {
		s := frame.ParseSetting(b)
		if err := settingFault(s); err != nil {
			return err
		}
		switch s.ID {
		case frame.HeaderTableSize:
			c.enc.SetLimit(s.Value)
		case frame.InitialWindowSize:
			window = int64(s.Value) // the last one counts: none of those between was ever in force
		case frame.MaxFrameSize:
			c.mostFrame = int(s.Value)
		}
	}
	if err := c.shift(window - c.firstWindow); err != nil {
		return err
	}
	c.firstWindow = window
	c.out = frame.AppendSettingsAck(c.room())
	// Each setting costs time, and one that moves all windows more than others.
	return c.idleFrame(4 + len(p)/frame.SettingLen/4)
}

func settingFault(s frame.Setting) error {
	switch {
	case s.ID == frame.EnablePush && s.Value > 1:
		return protocolError("ENABLE_PUSH is neither 0 nor 1")
	case s.ID == frame.InitialWindowSize && s.Value > frame.MaxWindow:
		return &fault{frame.FlowControlError, "INITIAL_WINDOW_SIZE is too large"}
	case s.ID == frame.MaxFrameSize && (s.Value < frame.MinMax || s.Value > frame.MaxMax):
		return protocolError("MAX_FRAME_SIZE is out of range")
	case s.ID == frame.NoPriorities && s.Value > 1:
		return protocolError("NO_RFC7540_PRIORITIES is neither 0 nor 1")
	}
	return nil
}

// shift moves the windows of all streams (RFC 9113, 6.9.2); with mu held.
func (c *conn) shift(by int64) error {
	if by == 0 {
		return nil
	}
	for _, st := range c.streams {
		if st.sendWindow += by; st.sendWindow > frame.MaxWindow {
			return &fault{frame.FlowControlError, "a stream's window is too large"}
		}
		if by > 0 {
			st.rouse()
		}
	}
	return nil
}
