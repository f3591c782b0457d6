"""The types of what is sent: specs of the kinds, and their parts.

Those of answers are in `cloud.answers`, a module for each noun.
"""

from cloud.core.app import (
    AppSpec,
    AppType,
    AppVersion,
    Backoff,
    Device,
    EnvironmentVariable,
    Function,
    FunctionConfig,
    HostPath,
    Port,
    Ref,
    Resources,
    Restart,
    Retry,
    Security,
    Service,
    Volume,
    VolumeMount,
)
from cloud.core.batch import BatchSpec, Fingerprint, SecurityType
from cloud.core.callback import CallbackSpec
from cloud.core.channel import ChannelSpec, ChannelType, SmtpSecurity
from cloud.core.commands import CommandKind, CommandStatus
from cloud.core.config import ConfigItem, ConfigSpec, KeyValue
from cloud.core.custom_role import RoleSpec
from cloud.core.guard import GuardSpec
from cloud.core.node import NodeSpec
from cloud.core.notification_rule import NotificationRuleSpec, Severity, Threshold
from cloud.core.probes import (
    ExecAction,
    HttpGetAction,
    HttpHeader,
    ServiceProbe,
    TcpSocketAction,
    UriScheme,
)
from cloud.core.readiness import NodeState
from cloud.core.registry import RegistrySpec
from cloud.core.secret import SecretSpec
from cloud.core.system_apps import SystemAppsSpec, SystemModule
from cloud.core.tokens import Role
from cloud.core.workload import AppMode, JobConfig, JobRestartPolicy, PullPolicy, Workload

__all__ = [
    "AppMode",
    "AppSpec",
    "AppType",
    "AppVersion",
    "Backoff",
    "BatchSpec",
    "CallbackSpec",
    "ChannelSpec",
    "ChannelType",
    "CommandKind",
    "CommandStatus",
    "ConfigItem",
    "ConfigSpec",
    "Device",
    "EnvironmentVariable",
    "ExecAction",
    "Fingerprint",
    "Function",
    "FunctionConfig",
    "GuardSpec",
    "HostPath",
    "HttpGetAction",
    "HttpHeader",
    "JobConfig",
    "JobRestartPolicy",
    "KeyValue",
    "NodeSpec",
    "NodeState",
    "NotificationRuleSpec",
    "Port",
    "PullPolicy",
    "Ref",
    "RegistrySpec",
    "Resources",
    "Restart",
    "Retry",
    "Role",
    "RoleSpec",
    "SecretSpec",
    "Security",
    "SecurityType",
    "Service",
    "ServiceProbe",
    "Severity",
    "SmtpSecurity",
    "SystemAppsSpec",
    "SystemModule",
    "TcpSocketAction",
    "Threshold",
    "UriScheme",
    "Volume",
    "VolumeMount",
    "Workload",
]
