# How the source makes its transport: every option that its text names.

transport = FastMcp::Transports::StreamableHttpTransport.new(
  app, server,
  session_id_generator: lambda do
    # Custom generation logic
    prefix = 'MCP'
    timestamp = Time.now.to_i.to_s(36).upcase
    random = SecureRandom.hex(12).upcase
    "#{prefix}#{timestamp}#{random}"
  end
)

transport = FastMcp::Transports::StreamableHttpTransport.new(
  app, server,
  # Session timeouts
  session_timeout: 1800,          # 30 minutes default
  idle_timeout: 300,              # 5 minutes idle timeout

  # Connection limits
  max_sessions_per_client: 5,     # Per IP address
  max_connections_per_session: 3, # Per session

  # Cleanup intervals
  session_cleanup_interval: 300,  # Every 5 minutes
  session_gc_threshold: 1000      # GC when > 1000 expired sessions
)

transport = FastMcp::Transports::StreamableHttpTransport.new(
  app, server,
  # Session storage
  session_store: CustomSessionStore.new,
  session_serializer: JSON,

  # Security
  session_id_entropy: 256,        # Bits of entropy
  session_validation: :strict,    # Validation level

  # Monitoring
  session_metrics: true,          # Enable session metrics
  session_logger: Logger.new('log/sessions.log')
)

transport = FastMcp::Transports::StreamableHttpTransport.new(
  app, server,
  session_store: RedisSessionStore.new
)

transport = FastMcp::Transports::StreamableHttpTransport.new(
  app, server,
  session_timeout: 3600,  # 1 hour
  idle_timeout: 600,      # 10 minutes
  session_refresh_threshold: 300  # Refresh when < 5 min remaining
)

transport = FastMcp::Transports::StreamableHttpTransport.new(
  app, server,
  max_sessions_per_client: 1,  # Only one session per IP
  session_replacement_policy: :replace_oldest
)

transport = FastMcp::Transports::StreamableHttpTransport.new(
  app, server,
  session_debug: true,
  session_logger: Logger.new($stdout, level: Logger::DEBUG)
)
