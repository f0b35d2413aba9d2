package doortest

import "testing"

// Door is one kind of door, as the suite needs to know it.
type Door struct {
	// Serve makes the door of a rig and lets it listen.
	Serve func(g *Rig) Running
	// Secure says that it is met over TLS, HTTP2 which protocol is spoken to it.
	Secure, HTTP2 bool
	// Own says that the engine is the gateway's own. It keeps connections to targets
	// beside those of upstream, so that one more of them may be found dead; and it has
	// OPTIONS * find no route, which others refuse to read.
	Own bool
	// Cut tells whether an error is what a client must meet where an answer is cut;
	// nil = any is.
	Cut func(error) bool
}

// rule is one thing that doors are held to. Its name is a sentence.
type rule struct {
	name string
	run  func(*testing.T, Door)
}

// Run tells whether a door does what every door does.
func Run(t *testing.T, d Door) {
	d.run(t, []rule{
		{"ARequestPassesAndIsRecorded", aRequestPasses},
		{"TheGatewaysOwnPathsAreAnsweredBeforeRouting", ownPaths},
		{"NothingIsForwardedThatCannotBeRecorded", nothingUnrecorded},
		{"AFaultOfOurOwnIsA500ThatIsCounted", aFaultOfOurOwn},
		{"AMisdirectedRequestIsSaidSo", misdirected},
		{"APreflightIsAnsweredHere", preflight},
		{"AnswersAreEditedAndCleaned", edited},
		{"AnswersWithoutBodyHaveNone", withoutBody},
		{"InterimAnswersPass", interim},
		{"ViaSaysByWhichVersionARequestCame", via},
		{"TrailersPassBothWaysButNoIdentity", trailers},
		{"ABodyOverTheLimitNeverArrivesWhole", overTheLimit},
		{"BodiesOfAnySizeStreamInBoundedMemory", boundedMemory},
		{"ManyBodiesAtOnceAllPass", manyBodies},
		{"AnUploadThatTheServiceIsSlowToTakeIsNotTheClientsFault", slowService},
		{"EventsArriveAsTheyAreSent", events},
		{"BothWaysStreamAtOnce", bothWays},
		{"SilenceIsNoFault", silence},
		{"AClientThatGoesAwayEndsTheRequestAtTheService", goesAway},
		{"ADrainTellsClientsAndLosesNothing", drain},
		{"ACutAnswerNeverEndsCleanly", cutAnswers},
		{"FaultsOfTheServiceAreProblems", faults},
		{"ADeadConnectionFailsNoRequestThatIsSafeToSendAgain", deadConnection},
		{"ARequestThatTargetsDieOfIsSentABoundedNumberOfTimes", deadly},
		{"AUserIsHashedByName", hashedByName},
		{"OpenStreamsEndWithTheirUser", endWithUser},
		{"AStreamThatBeganBeforeTheCutIsCutWhenItRegisters", beganBeforeTheCut},
		{"AStreamEndsWhenItsCredentialExpires", expires},
	})
	if d.HTTP2 {
		d.run(t, []rule{
			{"AStreamWithoutWindowIsCut", withoutWindow},
			{"GRPCPasses", grpcPasses},
			{"GRPCStreamsBothWays", grpcStreams},
		})
	}
}

// RunHTTP1 tells whether a door does what every door does that speaks HTTP/1.1,
// where the bytes of a request are the case.
func RunHTTP1(t *testing.T, d Door) {
	d.run(t, []rule{
		{"MalformedRequestsAreAnsweredRecordedAndNeverForwarded", malformed},
		{"OddButLegitimateRequestsPass", odd},
		{"WhatAHopSaysOfItself", hop},
		{"ContinueIsSaidOnlyOnceTheRequestMayPass", continues},
		{"ACutAnswerIsAResetForHTTP10", cutForHTTP10},
		{"AnEarlyAnswerReachesAClientThatIsStillSending", earlyAnswer},
		{"ABodyThatStallsIsCut", stalls},
		{"WebSocketsPassAndAreRecorded", webSockets},
		{"AWebSocketEndsWithItsUserOrItsCredential", webSocketEnds},
		{"ADrainEndsTunnelsWhenItsTimeIsUp", drainEndsTunnels},
		{"OnlyARealSwitchOpensATunnel", realSwitch},
		{"BytesBehindTheHandshakeAreNotLost", behindTheHandshake},
	})
}

func (d Door) run(t *testing.T, rules []rule) {
	for _, c := range rules {
		t.Run(c.name, func(t *testing.T) { c.run(t, d) })
	}
}

// start opens the door in front of a target.
func (d Door) start(t *testing.T, url string, options ...Option) *Rig {
	t.Helper()
	w := NewWorld(url)
	w.Secure, w.HTTP2 = d.Secure, d.HTTP2
	for _, o := range options {
		o(w)
	}
	return Open(t, w, d.Serve)
}
