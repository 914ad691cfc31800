// Akka's settings as text, the meaning of roles, and what follows from a change of its membership.
using ClusterRnn.Engines.Akka;
using ClusterRnn.Engines.Akka.Membership;
using ClusterRnn.Engines.Tcp.Security;
using ClusterRnn.Engines.Tcp.Transport;

namespace ClusterRnn.Tests.EnginesAkka;

public class SettingsTests
{
    private static readonly AkkaEngineOptions s_options = new()
    {
        Security = NodeSecurity.OfToken("t"),
        Roles = AkkaRoles.Coordinator | AkkaRoles.Server,
        SeedNodes = [new HostPort("alpha", 7070), new HostPort("::1", 7071)],
        StableAfter = TimeSpan.FromSeconds(4.5),
    };

    [Fact]
    public void The_text_says_what_the_options_say()
    {
        string text = HoconText.Of(s_options, new HostPort("beta", 0));
        Assert.Contains("roles = [\"coordinator\", \"server\"]", text, StringComparison.Ordinal);
        Assert.Contains("seed-nodes = [\"akka.links://clusterrnn@alpha:7070\", \"akka.links://clusterrnn@[::1]:7071\"]", text, StringComparison.Ordinal);
        Assert.Contains("stable-after = 4500ms", text, StringComparison.Ordinal);
        Assert.Contains("hostname = \"beta\"", text, StringComparison.Ordinal);
        Assert.Contains("active-strategy = keep-majority", text, StringComparison.Ordinal);
        Assert.Equal(text.Count(c => c == '{'), text.Count(c => c == '}'));
        Assert.DoesNotContain("dot-netty", text, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_host_is_called_can_not_leave_its_quotes()
        => Assert.Contains("hostname = \"a\\\" } akka { x = \\\"\"", HoconText.Of(s_options, new HostPort("a\" } akka { x = \"", 1)), StringComparison.Ordinal);

    [Theory]
    [InlineData("worker", AkkaRoles.Worker)]
    [InlineData(" coordinator,worker , server", AkkaRoles.Coordinator | AkkaRoles.Worker | AkkaRoles.Server)]
    public void Roles_have_names(string text, AkkaRoles expected)
    {
        Assert.Equal(expected, AkkaBuild.ParseRoles(text));
        Assert.Equal(expected, AkkaBuild.ParseRoles(string.Join(',', HoconText.RolesOf(expected))));
    }

    [Theory]
    [InlineData("")]
    [InlineData("wroker")]
    [InlineData("none")]
    [InlineData("worker,1")]
    public void What_is_no_role_is_said(string text) => Assert.Contains("expected", Assert.Throws<FormatException>(() => AkkaBuild.ParseRoles(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_node_with_several_roles_shows_one_certificate()
    {
        Assert.Equal(PeerRole.Coordinator, AkkaBuild.IdentityOf(AkkaRoles.Coordinator | AkkaRoles.Worker));
        Assert.Equal(PeerRole.Server, AkkaBuild.IdentityOf(AkkaRoles.Server | AkkaRoles.Worker));
        Assert.Equal(PeerRole.Worker, AkkaBuild.IdentityOf(AkkaRoles.Worker));
    }

    [Theory]
    [InlineData((int)MemberChange.Unreachable, false, true)]
    [InlineData((int)MemberChange.Reachable, false, true)]
    [InlineData((int)MemberChange.Downed, true, true)]
    [InlineData((int)MemberChange.RemovedAfterCrash, true, false)]
    [InlineData((int)MemberChange.RemovedAfterLeaving, true, false)]
    public void Only_the_resolvers_word_ends_an_actor(int change, bool ends, bool warns)
    {
        MemberConsequence consequence = MemberChanges.Of((MemberChange)change, "akka.links://clusterrnn@alpha:7070", isLeaving: false);
        Assert.Equal(ends, consequence.Ends);
        Assert.Equal(warns, consequence.Warns);
        Assert.Contains("alpha:7070", consequence.Reason, StringComparison.Ordinal);
        Assert.Equal(default, MemberChanges.Of((MemberChange)change, "x", isLeaving: true)); // it sees everybody go
    }

    [Theory]
    [InlineData("akka://clusterrnn/system/endpointManager/reliableEndpointWriter-akka.links%3A%2F%2Fclusterrnn%40node-1%3A7070-2/endpointWriter", "node-1:7070")]
    [InlineData("akka://clusterrnn/system/endpointManager/endpointWriter-akka.links%3a%2f%2fclusterrnn%40%5b::1%5d%3a7070-0", "[::1]:7070")]
    [InlineData("akka://clusterrnn/user/coordinator", null)]
    public void Whom_akkas_log_is_about_is_found_in_its_actors_name(string actor, string? node) => Assert.Equal(node, HoconText.NodeIn(actor));

    [Fact]
    public void A_build_without_it_says_how_one_gets_it()
    {
        Assert.Contains("EnableAkka=true", AkkaBuild.HowToBuild, StringComparison.Ordinal);
        Assert.Equal(AkkaBuild.IsBuilt, AkkaBuild.Engine(s_options) is not null);
    }
}
